/**
 * Reports of runs, for people. {@link dev.ringfence.report.HtmlReport} writes a page that needs
 * nothing but a browser, {@link dev.ringfence.report.TextReport} the tables of the terminal. Both
 * read a {@link dev.ringfence.lab.result.RunResult} and nothing else, so a report can be made again
 * from {@code run.json}. What they say in words comes from one place, {@code Summary}.
 *
 * <p>Strings in a result come from a guest's kernel and may be hostile: the page shows them as text
 * nodes only, the terminal without control characters.
 */
package dev.ringfence.report;
