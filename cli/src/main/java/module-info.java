/** The commands of Ringfence, their progress and their messages. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.cli {
  requires static org.jspecify;
  requires dev.ringfence.lab;
  requires dev.ringfence.machine;
  requires dev.ringfence.oracle;
  requires dev.ringfence.report;
  requires info.picocli;
  requires org.jline.terminal;

  // picocli fills the annotated fields by reflection.
  opens dev.ringfence.cli to
      info.picocli;
}
