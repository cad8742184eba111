/**
 * Caches and translation times: tags and latencies, no content. The content of cached RAM is RAM.
 */
package dev.ringfence.silicon.cache;
