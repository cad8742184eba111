package dev.ringfence.machine.probe;

import dev.ringfence.machine.cpu.Processor;
import java.util.List;
import java.util.function.Consumer;

/** Several probes, told one after the other. */
record ProbeList(List<Probe> probes) implements Probe {
  private void tell(Consumer<Probe> call) {
    for (Probe probe : probes) {
      call.accept(probe);
    }
  }

  @Override
  public void kernelEntered(Processor processor, Entry entry, int vector) {
    tell(probe -> probe.kernelEntered(processor, entry, vector));
  }

  @Override
  public void deliveryBegins(Processor processor, Entry entry, int vector) {
    tell(probe -> probe.deliveryBegins(processor, entry, vector));
  }

  @Override
  public void kernelLeft(Processor processor) {
    tell(probe -> probe.kernelLeft(processor));
  }

  @Override
  public void kernelInterrupted(Processor processor, Entry entry, int vector) {
    tell(probe -> probe.kernelInterrupted(processor, entry, vector));
  }

  @Override
  public void kernelResumed(Processor processor) {
    tell(probe -> probe.kernelResumed(processor));
  }

  @Override
  public void addressSpaceChanged(Processor processor, long oldCr3, long newCr3) {
    tell(probe -> probe.addressSpaceChanged(processor, oldCr3, newCr3));
  }

  @Override
  public void pageInvalidated(Processor processor, long linear) {
    tell(probe -> probe.pageInvalidated(processor, linear));
  }

  @Override
  public void translationsInvalidated(Processor processor, boolean global) {
    tell(probe -> probe.translationsInvalidated(processor, global));
  }

  @Override
  public void machineEntered(Processor processor) {
    tell(probe -> probe.machineEntered(processor));
  }

  @Override
  public void machineLeft(Processor processor, int reason) {
    tell(probe -> probe.machineLeft(processor, reason));
  }

  @Override
  public void machineReached(Processor processor, long physical, long bytes) {
    tell(probe -> probe.machineReached(processor, physical, bytes));
  }

  @Override
  public void flushed(Processor processor, Flush flush) {
    tell(probe -> probe.flushed(processor, flush));
  }

  @Override
  public void marked(Processor processor, int operation, long argument) {
    tell(probe -> probe.marked(processor, operation, argument));
  }
}
