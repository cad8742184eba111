/** Reports of runs, for people: a self-contained HTML page, tables for the terminal. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.report {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.lab;
  requires com.fasterxml.jackson.databind;
  requires org.apache.commons.text;

  exports dev.ringfence.report;

  // Jackson reads the records of the page's data by reflection.
  opens dev.ringfence.report to
      com.fasterxml.jackson.databind;
}
