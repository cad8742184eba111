package dev.ringfence.linux.running;

/**
 * A task, as it was when it was read.
 *
 * @param address of its {@code struct task_struct}
 * @param pid of the thread
 * @param processId of the process, which is the pid of its first thread
 * @param name the kernel's {@code comm}, at most 15 bytes
 * @param mm address of its {@code struct mm_struct}, 0 for kernel threads
 * @param activeMm the mm whose page tables it runs on; that of another task for a kernel thread
 * @param stack lowest address of its kernel stack
 */
public record Task(
    long address, int pid, int processId, String name, long mm, long activeMm, long stack) {}
