package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.ringfence.machine.snapshot.SnapshotException;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Every field of the state survives a snapshot. */
class ProcessorStateTest {
  private static byte[] save(ProcessorState state) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    StateWriter out = new StateWriter(bytes);
    state.save(out);
    out.flush();
    return bytes.toByteArray();
  }

  private static StateReader reader(byte[] bytes) {
    return new StateReader(new ByteArrayInputStream(bytes), "processor-0");
  }

  /** Fills every field with something that it can hold. */
  private static void fill(ProcessorState state, Random random) throws IllegalAccessException {
    for (Field field : ProcessorState.class.getFields()) {
      if (Modifier.isStatic(field.getModifiers())) {
        continue;
      }
      Class<?> type = field.getType();
      if (type == long.class) {
        field.setLong(state, random.nextLong());
      } else if (type == int.class) {
        field.setInt(state, 1 + random.nextInt(3));
      } else if (type == boolean.class) {
        field.setBoolean(state, true);
      } else {
        Object array = field.get(state);
        for (int i = 0; i < Array.getLength(array); i++) {
          switch (array) {
            case long[] longs -> longs[i] = random.nextLong();
            case int[] ints -> ints[i] = random.nextInt();
            case short[] shorts -> shorts[i] = (short) random.nextInt();
            default -> throw new AssertionError("field of type " + type);
          }
        }
      }
    }
    state.r[Slot.ZERO] = 0;
    state.systemFlags = Flags.IF | Flags.AC;
  }

  @Test
  void everyFieldIsSavedAndRestored() throws IllegalAccessException {
    ProcessorState state = new ProcessorState();
    fill(state, new Random(1));
    ProcessorState copy = new ProcessorState();
    copy.restore(reader(save(state)));
    for (Field field : ProcessorState.class.getFields()) {
      if (!Modifier.isStatic(field.getModifiers())) {
        assertEquals(text(field.get(state)), text(field.get(copy)), field.getName());
      }
    }
    assertArrayEquals(save(state), save(copy));
  }

  private static String text(Object value) {
    return switch (value) {
      case long[] longs -> Arrays.toString(longs);
      case int[] ints -> Arrays.toString(ints);
      case short[] shorts -> Arrays.toString(shorts);
      default -> value.toString();
    };
  }

  @Test
  void aShortSnapshotIsRefused() {
    byte[] bytes = save(new ProcessorState());
    byte[] part = Arrays.copyOf(bytes, bytes.length - 1);
    ProcessorState state = new ProcessorState();
    assertThrows(SnapshotException.class, () -> state.restore(reader(part)));
  }

  @Test
  void operandsWithoutRegisterStayZeroWhateverASnapshotHolds() {
    ProcessorState state = new ProcessorState();
    state.r[Slot.ZERO] = 5;
    ProcessorState copy = new ProcessorState();
    copy.restore(reader(save(state)));
    assertEquals(0, copy.r[Slot.ZERO]);
  }
}
