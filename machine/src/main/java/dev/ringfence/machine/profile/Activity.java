package dev.ringfence.machine.profile;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What the thread that runs a machine is doing, read off its stack. So nothing is kept for it while
 * the machine runs, and a run without a profile costs nothing.
 */
public enum Activity {
  /** Bytecode of the guest's hot code. */
  TRANSLATED("translated code"),
  /** Micro-operations of cold code, one after the other. */
  INTERPRETED("interpreted code"),
  /** Helpers of instructions that are not micro-operations, and delivery of events. */
  HELPERS("rare instructions, interrupts and exceptions"),
  /** Accesses and fetches that the fast tables do not serve: TLB misses, page walks, crossings. */
  MEMORY("TLB misses and other slow memory accesses"),
  /** Devices, interrupt controllers and timers. */
  DEVICES("devices"),
  /** Decoding, and looking for the block at RIP. */
  BLOCKS("finding, decoding and entering blocks"),
  /** Making bytecode on the thread of the machine; the background's is not part of its time. */
  TRANSLATING("translating while the guest waits"),
  /** Whoever observes the machine: isolation, and what takes the guest's output. */
  OBSERVERS("isolation, probes and console"),
  /** Turns of processors, and what no other activity covers. */
  TURNS("turns and timers"),
  /** The machine does not run: what was between two calls of it. */
  OUTSIDE("outside the machine");

  private static final String ROOT = "dev.ringfence.machine.";
  private static final String MACHINE = "dev.ringfence.machine.Machine";

  /** Classes that executors call for common operations; their time is the executor's. */
  private static final Set<String> OF_EXECUTORS =
      Set.of(
          ROOT + "operation.Shifts",
          ROOT + "operation.Multiplication",
          ROOT + "operation.MicroOperation",
          ROOT + "cpu.Flags",
          ROOT + "cpu.Processor",
          ROOT + "cpu.ProcessorState");

  private final String description;

  Activity(String description) {
    this.description = description;
  }

  /** For people. */
  public String description() {
    return description;
  }

  /**
   * The activity of a thread. Of several in one stack observers come before devices, and these
   * before the outermost that is not an executor: what a device does to memory is the device's.
   *
   * @param stack innermost frame first
   */
  public static Activity of(StackTraceElement[] stack) {
    int frame = stack.length - 1;
    while (frame >= 0 && !isRun(stack[frame])) {
      frame--;
    }
    if (frame < 0) {
      return OUTSIDE;
    }
    Activity found = TURNS;
    for (frame--; frame >= 0; frame--) {
      Activity next = ofFrame(stack[frame]);
      if (next == OBSERVERS) {
        return OBSERVERS;
      }
      if (next == DEVICES || next != null && isExecutor(found)) {
        found = next;
      }
    }
    return found;
  }

  private static boolean isRun(StackTraceElement frame) {
    return frame.getClassName().equals(MACHINE) && frame.getMethodName().equals("run");
  }

  private static boolean isExecutor(Activity activity) {
    return switch (activity) {
      case TURNS, INTERPRETED, TRANSLATED, BLOCKS -> true;
      default -> false;
    };
  }

  /** What a frame says, or null if nothing. */
  private static @Nullable Activity ofFrame(StackTraceElement frame) {
    String name = frame.getClassName();
    if (!name.startsWith(ROOT)) {
      return name.startsWith("dev.ringfence.") ? OBSERVERS : null;
    }
    if (OF_EXECUTORS.contains(name)) {
      return null;
    }
    String rest = name.substring(ROOT.length());
    int dot = rest.indexOf('.');
    String room = dot < 0 ? "" : rest.substring(0, dot);
    String type = rest.substring(dot + 1);
    return switch (room) {
      case "translate" ->
          // Whether a translation has been finished is asked on the way to each block.
          frame.getMethodName().equals("collect")
              ? BLOCKS
              : type.startsWith("Execution")
                      || type.startsWith("Region/")
                      || type.equals("TranslatedCode")
                  ? TRANSLATED
                  : TRANSLATING;
      case "interpret" ->
          switch (type) {
            case "Interpreter" -> INTERPRETED;
            case "ProcessorLoop" -> null;
            default -> BLOCKS;
          };
      case "operation", "cpu" -> HELPERS;
      case "interrupt" -> type.startsWith("EventDelivery") ? HELPERS : DEVICES;
      case "device" -> DEVICES;
      case "paging" -> MEMORY;
      case "decode" -> BLOCKS;
      default -> null;
    };
  }
}
