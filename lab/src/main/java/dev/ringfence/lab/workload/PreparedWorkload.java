package dev.ringfence.lab.workload;

import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.MachineConfiguration;

/**
 * A workload that can be booted.
 *
 * @param request what was asked of the preparation of guests; with equal packages it gives the
 *     guest again
 * @param guest the images
 * @param configuration the machine; processor model and seed are the defaults
 */
public record PreparedWorkload(
    Workload workload,
    GuestRequest request,
    PreparedGuest guest,
    MachineConfiguration configuration) {}
