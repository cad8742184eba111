package dev.ringfence.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.result.WholeFile;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A run as one HTML file that needs nothing but a browser: styles, scripts, the chart library and
 * all data are inside.
 *
 * <p>The data come from a guest and are not trusted. They are a JSON block that the browser does
 * not execute, the scripts put them into the page as text nodes only, and a content security policy
 * lets no script run but those of this class and lets the page load nothing.
 */
public final class HtmlReport {
  /** Of the file in a run's folder. */
  public static final String NAME = "report.html";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  /** In the order in which they use one another. */
  private static final List<String> SCRIPTS =
      List.of(
          "text.js",
          "table.js",
          "charts.js",
          "flame.js",
          "sections.js",
          "machines.js",
          "leaks.js",
          "page.js");

  private HtmlReport() {}

  /**
   * Data of the page.
   *
   * @param run as {@code run.json} has it
   * @param selected name of the policy that is shown first
   * @param sentences about the whole run
   * @param policies what is derived for each policy, by its name
   */
  record PageData(
      RunResult run,
      @Nullable String selected,
      boolean partial,
      List<String> sentences,
      List<PolicyFigures> figures,
      Map<String, PolicyData> policies) {

    static PageData of(RunResult run) {
      Map<String, PolicyData> policies = new LinkedHashMap<>();
      for (PolicyResult policy : run.policies()) {
        policies.put(
            policy.name(), new PolicyData(Summary.ofPolicy(run, policy), Change.of(policy)));
      }
      PolicyResult first = Summary.first(run);
      return new PageData(
          run,
          first == null ? null : first.name(),
          Summary.isPartial(run),
          Summary.ofRun(run),
          PolicyFigures.of(run),
          policies);
    }
  }

  /**
   * What is derived for a policy.
   *
   * @param sentences about it
   * @param changes that would save exits
   */
  record PolicyData(List<String> sentences, List<Change> changes) {}

  /**
   * Writes the page: the whole file or nothing.
   *
   * @throws dev.ringfence.machine.BadInputException if the file cannot be written
   */
  public static void write(RunResult run, Path file) {
    // getBytes puts a question mark where half of a surrogate pair stands.
    WholeFile.write(file, page(run).getBytes(StandardCharsets.UTF_8), "report");
  }

  static String page(RunResult run) {
    List<String> scripts = new ArrayList<>();
    scripts.add(resource("echarts.min.js"));
    StringBuilder own = new StringBuilder("\"use strict\";\n");
    SCRIPTS.forEach(name -> own.append(resource(name)));
    scripts.add(own.toString());
    StringBuilder hashes = new StringBuilder();
    StringBuilder elements = new StringBuilder();
    for (String script : scripts) {
      hashes.append(hashes.isEmpty() ? "" : " ").append(hash(script));
      elements.append("<script>").append(script).append("</script>\n");
    }
    StringBuilder page = new StringBuilder();
    String template = resource("page.html");
    int from = 0;
    // One pass, so that nothing in what is put in is taken for a place to put something.
    for (int at = template.indexOf("@{"); at >= 0; at = template.indexOf("@{", from)) {
      int end = template.indexOf('}', at);
      page.append(template, from, at);
      String place = template.substring(at + 2, end);
      page.append(
          switch (place) {
            case "hashes" -> hashes;
            case "title" -> text(title(run));
            case "style" -> resource("page.css");
            case "data" -> data(run);
            case "scripts" -> elements;
            default -> throw new AssertionError("page.html has an unknown place: " + place);
          });
      from = end + 1;
    }
    return page.append(template, from, template.length()).toString();
  }

  private static String title(RunResult run) {
    return "%s on Linux %s: address space isolation"
        .formatted(run.workload().name(), run.kernel().release());
  }

  /** JSON that no parser of HTML or of JavaScript can take for anything else. */
  static String data(RunResult run) {
    String json;
    try {
      json = JSON.writeValueAsString(PageData.of(run));
    } catch (JsonProcessingException e) {
      throw new AssertionError("records of plain types have a JSON form", e);
    }
    StringBuilder escaped = new StringBuilder(json.length() + 256);
    for (int i = 0; i < json.length(); i++) {
      char c = json.charAt(i);
      // These stand in strings only, where JSON allows the escape.
      switch (c) {
        case '<', '>', '&', '\u2028', '\u2029' ->
            escaped.append("\\u").append("%04x".formatted((int) c));
        default -> escaped.append(c);
      }
    }
    return escaped.toString();
  }

  private static String text(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }

  /** How the content security policy names a script: its SHA-256. */
  private static String hash(String script) {
    try {
      byte[] digest =
          MessageDigest.getInstance("SHA-256").digest(script.getBytes(StandardCharsets.UTF_8));
      return "'sha256-" + Base64.getEncoder().encodeToString(digest) + "'";
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  private static String resource(String name) {
    try (InputStream stream = HtmlReport.class.getResourceAsStream(name)) {
      if (stream == null) {
        throw new AssertionError("the build did not put " + name + " beside this class");
      }
      return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
