/**
 * Evidence of where a planted secret is: which structures of the silicon hold bytes of it, and
 * which transient loads reached for them.
 */
package dev.ringfence.silicon.taint;
