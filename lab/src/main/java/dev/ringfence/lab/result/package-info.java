/** What comes out of a run, as it is written to {@code run.json} and read by reports. */
package dev.ringfence.lab.result;
