/** Reports of runs, for people. */
package dev.ringfence.report;
