package dev.ringfence.machine.interpret;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.SegmentRegister;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class EndlessExceptionsTest {
  /**
   * In real-address mode the stack wraps, so a handler that is no instruction is called for ever.
   */
  @Test
  void handlersThatRaiseExceptionsLetTimePass() {
    try (BareProcessor bare = new BareProcessor()) {
      bare.state.cr0 &= ~(ControlBits.CR0_PG | ControlBits.CR0_PE);
      bare.state.efer = 0;
      bare.state.access[SegmentRegister.CS] = 0x93;
      bare.state.idtrBase = 0;
      bare.processor.memory().invalidateAll();
      bare.memory.writeInt(4L * ProcessorException.INVALID_OPCODE, 0x1000);
      bare.place(0x1000, "0f0b");
      bare.state.rip = 0x1000;
      assertTimeoutPreemptively(Duration.ofSeconds(20), () -> bare.go(1000));
      assertFalse(bare.state.halted);
    }
  }
}
