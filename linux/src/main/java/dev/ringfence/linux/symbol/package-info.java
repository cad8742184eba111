/** Names of kernel addresses. */
package dev.ringfence.linux.symbol;
