package dev.ringfence.machine.translate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.interpret.RegionReader;
import dev.ringfence.machine.operation.MicroOperation;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** A region that cannot be made does no harm to those that were to share a class with it. */
final class BadRegionTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @Test
  void neighboursOfARegionThatCannotBeMadeAreInstalledAndItIsCounted() throws InterruptedException {
    try (BareProcessor bare = new BareProcessor()) {
      Translator translator = new Translator(bare.processor, new Execution(bare.processor));
      Set<String> installed = new TreeSet<>();
      // inc rax ; ret
      bare.place(BareProcessor.CODE, "48ffc0 c3");
      Region good =
          RegionReader.read(
              bare.memory, bare.processor.model(), BareProcessor.CODE, 64, 64, BareProcessor.DATA);
      translator.request(good, new Note("first", installed));
      translator.request(unknownOperation(good), new Note("bad", installed));
      translator.request(good, new Note("last", installed));
      long end = System.nanoTime() + PATIENCE.toNanos();
      while (installed.size() < 2 && System.nanoTime() < end) {
        Thread.sleep(5);
        translator.collect();
      }
      assertEquals(Set.of("first", "last"), installed);
      assertEquals(1, translator.counts().failures());
      assertEquals(2, translator.counts().regions());
    }
  }

  private static Region unknownOperation(Region region) {
    RegionBlock block = region.blocks().getFirst();
    MicroOperation[] operations = block.operations().clone();
    MicroOperation unknown = new MicroOperation();
    unknown.code = -1;
    unknown.instruction = operations[0].instruction;
    operations[0] = unknown;
    return new Region(
        List.of(new RegionBlock(block.offset(), operations, block.instructions(), block.length())),
        region.linked(),
        region.code64());
  }

  private record Note(String name, Set<String> installed) implements Translator.Installer {
    @Override
    public boolean wanted() {
      return true;
    }

    @Override
    public void install(int first, int count, TranslatedCode code, int firstEntry) {
      installed.add(name);
    }
  }
}
