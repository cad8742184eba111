/** Reports of runs, for people: a self-contained HTML page, tables for the terminal. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.report {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.lab;
}
