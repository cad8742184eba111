/**
 * The isolation monitor: the layer beneath the kernel that owns restricted page tables, decides
 * what an access to a page that they lack means, and keeps account of why.
 */
package dev.ringfence.isolation.monitor;
