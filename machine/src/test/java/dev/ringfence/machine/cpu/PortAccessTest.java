package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.TSS;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** IN, OUT, INS, OUTS and the I/O permission bitmap against SDM volume 1, chapter 19. */
class PortAccessTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int PF = ProcessorException.PAGE_FAULT;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  @Test
  void everyWidthAndForm() {
    f.longMode(0);
    f.state.r[Slot.RAX] = 0xaaaaaaaaaaaaaaaaL;
    f.state.r[Slot.RDX] = 0xffff03f8L;
    f.run("ec");
    assertEquals(0xaaaaaaaaaaaaaa11L, f.state.r[Slot.RAX]);
    f.run("66 ed");
    assertEquals(0xaaaaaaaaaaaa2211L, f.state.r[Slot.RAX]);
    f.run("ed");
    assertEquals(0x44332211L, f.state.r[Slot.RAX]);
    f.run("48 ed"); // there is no 64-bit form
    assertEquals(0x44332211L, f.state.r[Slot.RAX]);
    f.run("e4 80");
    f.run("e7 f4");
    f.run("ee");
    assertEquals(
        List.of(
            "in 3f8 1",
            "in 3f8 2",
            "in 3f8 4",
            "in 3f8 4",
            "in 80 1",
            "out f4 4 44332211",
            "out 3f8 1 11"),
        f.portLog);
  }

  @Test
  void ioplAllowsAllPorts() {
    f.longMode(3);
    f.physical.writeShort(TSS + 0x66, (short) 0x800); // no bitmap
    f.expect(GP, 0, "e4 80");
    f.state.systemFlags |= Flags.IOPL;
    f.run("e4 80");
    f.virtual8086();
    f.state.systemFlags |= Flags.IOPL;
    f.physical.writeShort(TSS + 0x66, (short) 0x800);
    f.expect(GP, 0, "e4 80"); // not in virtual-8086 mode
  }

  @Test
  void theBitmapAllowsPortsOneByOne() {
    f.longMode(3);
    f.physical.writeShort(TSS + 0x66, (short) 0x68);
    f.physical.fill(TSS + 0x68, 0x600, (byte) 0xff);
    f.physical.writeByte(TSS + 0x68 + 0x10, (byte) 0x3f); // 86H and 87H
    f.run("e4 86");
    f.run("66 e5 86");
    f.expect(GP, 0, "66 e5 85");
    f.expect(GP, 0, "66 e5 87"); // reaches into the next byte of the map
    f.expect(GP, 0, "e5 86");
    f.physical.writeByte(TSS + 0x68 + 0x11, (byte) 0xfc);
    f.run("e5 86");
  }

  @Test
  void theBitmapEndsWithTheSegment() {
    f.longMode(3);
    f.physical.writeShort(TSS + 0x66, (short) 0x68);
    f.physical.fill(TSS + 0x68, 0x600, (byte) 0);
    f.state.limit[SegmentRegister.TR] = 0x68 + 0x11;
    f.run("e4 80");
    f.state.limit[SegmentRegister.TR] = 0x68 + 0x10; // two bytes are read always
    f.expect(GP, 0, "e4 80");
    f.state.limit[SegmentRegister.TR] = 0x66;
    f.expect(GP, 0, "e4 80");
    f.protectedMode(3);
    f.state.access[SegmentRegister.TR] = 0x83; // a 16-bit TSS has none
    f.expect(GP, 0, "e4 80");
  }

  @Test
  void repeatedInputFillsMemory() {
    f.longMode(0);
    f.state.r[Slot.RDX] = 0x1f0;
    f.state.r[Slot.RDI] = 0x9000;
    f.state.r[Slot.RCX] = 3;
    f.run("f3 66 6d");
    assertEquals(0x9006, f.state.r[Slot.RDI]);
    assertEquals(0, f.state.r[Slot.RCX]);
    assertEquals(0x0000221122112211L, f.physical.readLong(0x9000));
    assertEquals(CODE + 3, f.state.rip);
  }

  @Test
  void repeatedOutputGoesBackwardsWithTheDirectionFlag() {
    f.longMode(0);
    f.state.systemFlags |= Flags.DF;
    f.state.r[Slot.RDX] = 0x80;
    f.state.r[Slot.RSI] = 0x9001;
    f.state.r[Slot.RCX] = 2;
    f.physical.writeShort(0x9000, (short) 0x6655);
    f.run("f3 6e");
    assertEquals(List.of("out 80 1 66", "out 80 1 55"), f.portLog);
    assertEquals(0x8fff, f.state.r[Slot.RSI]);
  }

  @Test
  void longRepetitionsStopAtTheInstructionSoThatInterruptsAreTaken() {
    f.longMode(0);
    f.state.r[Slot.RDX] = 0x1f0;
    f.state.r[Slot.RDI] = 0x20000;
    f.state.r[Slot.RCX] = 5000;
    f.run("f3 6c");
    assertEquals(CODE, f.state.rip);
    assertEquals(5000 - 4096, f.state.r[Slot.RCX]);
    f.run("f3 6c");
    assertEquals(CODE + 2, f.state.rip);
    assertEquals(0x20000 + 5000, f.state.r[Slot.RDI]);
  }

  @Test
  void aFaultInTheMiddleKeepsWhatWasDone() {
    f.longMode(0);
    f.state.r[Slot.RDX] = 0x1f0;
    f.state.r[Slot.RDI] = 0x200000 - 2; // two bytes before the end of what is mapped
    f.state.r[Slot.RCX] = 8;
    f.expect(PF, 2, "f3 6c");
    assertEquals(6, f.state.r[Slot.RCX]);
    assertEquals(0x200000, f.state.r[Slot.RDI]);
    assertEquals(2, f.portLog.size(), "the port is not read when the store would fault");
  }

  @Test
  void addressSizeCutsPointersAndCount() {
    f.longMode(0);
    f.state.r[Slot.RDX] = 0x1f0;
    f.state.r[Slot.RDI] = 0xf_0000_9000L;
    f.state.r[Slot.RCX] = 0xf_0000_0001L;
    f.run("67 f3 6c");
    assertEquals(0x9001, f.state.r[Slot.RDI]);
    assertEquals(0, f.state.r[Slot.RCX]);
  }

  @Test
  void segmentLimitsCountOutside64BitMode() {
    f.protectedMode(0);
    f.state.limit[SegmentRegister.ES] = 0x8fff;
    f.state.r[Slot.RDI] = 0x9000;
    f.expect(GP, 0, "6c");
    f.state.r[Slot.RSI] = 0x9000;
    f.run("6e");
    f.expect(GP, 0, "26 6e"); // es: outsb
  }
}
