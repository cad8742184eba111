package dev.ringfence.checks;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher in an empty project, with JDKs that only print what they were asked to run. */
final class LauncherTest {
  private static final List<String> TOOLS =
      List.of("bash", "cat", "dirname", "find", "flock", "grep", "mkdir", "mv", "readlink", "rm");

  @TempDir Path folder;
  private Path project;
  private Path tools;

  @BeforeEach
  void makeProjectAndTools() throws IOException {
    project = Files.createDirectories(folder.resolve("a project"));
    Files.copy(SourceTree.ROOT.resolve("ringfence"), project.resolve("ringfence"));
    Files.writeString(Files.createDirectories(project.resolve("cli")).resolve("pom.xml"), "");
    Files.writeString(project.resolve("pom.xml"), "");
    Files.createDirectories(project.resolve("cli/src/main"));
    tools = Files.createDirectories(folder.resolve("tools"));
    for (String tool : TOOLS) {
      Files.createSymbolicLink(tools.resolve(tool), Path.of("/usr/bin", tool));
    }
  }

  @Test
  void theFirstJdkThatIsNewEnoughRunsTheCommand() throws Exception {
    Path old = jdk("17.0.1");
    Path modern = jdk("25.0.1");
    pretendBuiltWith(modern);

    Result result =
        launch(Map.of("JAVA_HOME", old + "", "PATH", tools + ":" + modern + "/bin"), "boot", "a b");

    assertEquals("", result.err);
    assertTrue(result.out.startsWith("25.0.1\n@" + project + "/jvm.options\n"), result.out);
    assertTrue(
        result.out.endsWith("--module\ndev.ringfence.cli/dev.ringfence.cli.Ringfence\nboot\na b\n"),
        result.out);
    assertEquals(0, result.status);
  }

  @Test
  void aStaleProjectWithoutMavenSaysWhatToInstall() throws Exception {
    Path modern = jdk("25.0.1");
    pretendBuiltWith(modern);
    Files.writeString(project.resolve("cli/src/main/New.java"), "");

    Result result = launch(Map.of("JAVA_HOME", modern + "", "PATH", tools + ""), "boot");

    assertEquals(
        "ringfence: Maven is needed to build and is not on the PATH."
            + " Install version 3.6.3 or newer (a package named maven).\n",
        result.err);
    assertEquals("", result.out);
    assertEquals(2, result.status);
  }

  @Test
  void aDeletedSourceMakesTheProjectStale() throws Exception {
    Path modern = jdk("25.0.1");
    Path source = Files.writeString(project.resolve("cli/src/main/Old.java"), "");
    pretendBuiltWith(modern);
    Files.delete(source);

    assertEquals(2, launch(Map.of("JAVA_HOME", modern + "", "PATH", tools + ""), "boot").status);
  }

  @Test
  void startsAfterTheFirstUseJarsAndTheCacheOfTheirClassesUntilTheNextBuild() throws Exception {
    Path modern = jdk("25.0.1");
    script(modern.resolve("bin/jar"), "for a; do case $a in *.jar) : >\"$a\" ;; esac; done");
    script(
        modern.resolve("bin/java"),
        "printf '%s\\n' \"$@\"\n"
            + "for a; do case $a in -XX:AOTCacheOutput=*) echo x >\"${a#*=}\" ;; esac; done");
    pretendBuiltWith(modern);
    Map<String, String> environment = Map.of("JAVA_HOME", modern + "", "PATH", tools + "");
    Path start = project.resolve("target/start");

    Result version = launch(environment, "--version");
    assertEquals("", version.err, "only commands that take long enough make them");
    Result first = launch(environment, "boot");
    assertEquals("ringfence: making later starts faster, in the background\n", first.err);
    assertTrue(first.out.contains("\n" + project + "/cli/target/classes:x.jar\n"), first.out);
    for (int i = 0; i < 500 && !Files.exists(start.resolve("ready")); i++) {
      Thread.sleep(20);
    }

    Result second = launch(environment, "boot");
    assertEquals("", second.err);
    assertTrue(second.out.contains("\n" + start + "/cli.jar:x.jar\n"), second.out);
    assertTrue(second.out.contains("\n-XX:AOTCache=" + start + "/classes.aot\n"), second.out);

    Files.setLastModifiedTime(
        project.resolve("target/built"), FileTime.from(Instant.now().plusSeconds(60)));
    assertTrue(launch(environment, "--version").out.contains("/cli/target/classes:x.jar\n"));
  }

  @Test
  void ownFlagsForTheJvmGoWithoutTheCache() throws Exception {
    Path modern = jdk("25.0.1");
    pretendBuiltWith(modern);
    Files.writeString(
        Files.createDirectories(project.resolve("target/start")).resolve("ready"), "");

    Result result =
        launch(
            Map.of(
                "JAVA_HOME",
                modern + "",
                "PATH",
                tools + "",
                "RINGFENCE_JAVA_OPTIONS",
                "-XX:+UseParallelGC"),
            "boot");

    assertTrue(result.out.contains("\n-XX:+UseParallelGC\n"), result.out);
    assertTrue(!result.out.contains("AOTCache"), result.out);
  }

  private static void script(Path file, String lines) throws IOException {
    Files.writeString(file, "#!/bin/sh\n" + lines + "\n");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  /** A JDK whose java prints its version and its arguments, one per line. */
  private Path jdk(String version) throws IOException {
    Path home = folder.resolve("jdk " + version);
    Path bin = Files.createDirectories(home.resolve("bin"));
    Files.writeString(
        home.resolve("release"), "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"" + version + "\"\n");
    for (String program : List.of("java", "javac")) {
      Path file =
          Files.writeString(
              bin.resolve(program), "#!/bin/sh\nprintf '%s\\n' " + version + " \"$@\"\n");
      Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
    return home;
  }

  /** Leaves what a build leaves, a minute younger than all sources. */
  private void pretendBuiltWith(Path jdk) throws IOException {
    Files.writeString(
        Files.createDirectories(project.resolve("cli/target")).resolve("modulepath"), "x.jar");
    Path stamp = Files.createDirectories(project.resolve("target")).resolve("built");
    Files.writeString(stamp, project + " " + jdk);
    FileTime before = FileTime.from(Instant.now().minusSeconds(120));
    for (String file : List.of("pom.xml", "cli/pom.xml", "cli/src/main")) {
      Files.setLastModifiedTime(project.resolve(file), before);
    }
    Files.setLastModifiedTime(stamp, FileTime.from(Instant.now().minusSeconds(60)));
  }

  private Result launch(Map<String, String> environment, String... arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of("bash", project.resolve("ringfence") + ""));
    command.addAll(List.of(arguments));
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
    builder.environment().clear();
    builder.environment().put("HOME", folder + "");
    builder.environment().putAll(environment);
    int status = builder.start().waitFor();
    return new Result(Files.readString(out, UTF_8), Files.readString(err, UTF_8), status);
  }

  private record Result(String out, String err, int status) {}
}
