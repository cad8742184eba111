/** Restricted page tables: real x86-64 tables in memory that the guest cannot see. */
package dev.ringfence.isolation.table;
