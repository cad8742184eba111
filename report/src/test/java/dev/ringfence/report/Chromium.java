package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.fail;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogEntry;
import org.openqa.selenium.logging.LogType;

/**
 * The Chromium of the system, without a window, with its log of the console and of requests. It
 * comes from Debian's packages chromium and chromium-driver. Where it is missing, a continuous
 * integration (CI=true) that runs as root installs it, another one fails, and people's tests are
 * skipped.
 */
final class Chromium implements AutoCloseable {
  private static final List<String> PACKAGES = List.of("chromium", "chromium-driver");

  final ChromeDriver driver;
  private final Path profile;

  private Chromium(Path browser, Path driverProgram) throws IOException {
    profile = Files.createTempDirectory("ringfence-chromium");
    ChromeOptions options = new ChromeOptions();
    options.setBinary(browser.toFile());
    options.addArguments(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--user-data-dir=" + profile);
    options.setCapability(
        ChromeOptions.LOGGING_PREFS, Map.of(LogType.BROWSER, "ALL", LogType.PERFORMANCE, "ALL"));
    ChromeDriverService service =
        new ChromeDriverService.Builder()
            .usingDriverExecutable(driverProgram.toFile())
            .usingAnyFreePort()
            .build();
    driver = new ChromeDriver(service, options);
  }

  static Chromium start() throws IOException {
    boolean integration = "true".equals(System.getenv("CI"));
    if (integration && !isInstalled() && "root".equals(System.getProperty("user.name"))) {
      install();
    }
    if (!isInstalled()) {
      String message = "Chromium is needed: apt-get install " + String.join(" ", PACKAGES);
      if (integration) {
        fail(message);
      }
      Assumptions.abort(message);
    }
    return new Chromium(program("chromium").orElseThrow(), program("chromedriver").orElseThrow());
  }

  private static boolean isInstalled() {
    return program("chromium").isPresent() && program("chromedriver").isPresent();
  }

  private static Optional<Path> program(String name) {
    return Stream.of(System.getenv("PATH").split(File.pathSeparator, -1))
        .map(folder -> Path.of(folder, name))
        .filter(Files::isExecutable)
        .findFirst();
  }

  private static void install() throws IOException {
    List<String> command =
        new ArrayList<>(List.of("apt-get", "install", "-y", "--no-install-recommends"));
    command.addAll(PACKAGES);
    run(List.of("apt-get", "update"));
    run(command);
  }

  private static void run(List<String> command) throws IOException {
    Process process = new ProcessBuilder(command).inheritIO().start();
    try {
      int status = process.waitFor();
      if (status != 0) {
        fail(String.join(" ", command) + " ended with status " + status);
      }
    } catch (InterruptedException e) {
      process.destroy();
      Thread.currentThread().interrupt();
      fail(e);
    }
  }

  /** What the console said since the last call. */
  List<String> console() {
    return driver.manage().logs().get(LogType.BROWSER).getAll().stream()
        .map(LogEntry::getMessage)
        .toList();
  }

  /** Events of the developer tools since the last call that tell of a request to a network. */
  List<String> networkRequests() {
    return driver.manage().logs().get(LogType.PERFORMANCE).getAll().stream()
        .map(LogEntry::getMessage)
        .filter(message -> message.contains("Network.requestWillBeSent\""))
        .filter(message -> message.matches("(?s).*\"url\":\"(https?|wss?|ftp):.*"))
        .toList();
  }

  void prefer(String scheme) {
    driver.executeCdpCommand(
        "Emulation.setEmulatedMedia",
        Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", scheme))));
  }

  /** The size of the view, whatever the window may be. */
  void resize(int width, int height) {
    driver.executeCdpCommand(
        "Emulation.setDeviceMetricsOverride",
        Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", false));
  }

  Object evaluate(String expression, Object... arguments) {
    return driver.executeScript("return " + expression, arguments);
  }

  String text(String expression) {
    return String.valueOf(evaluate(expression));
  }

  long number(String expression) {
    return ((Number) evaluate(expression)).longValue();
  }

  @Override
  public void close() throws IOException {
    driver.quit();
    // The browser's helpers may still write while they end.
    try (Stream<Path> files = Files.walk(profile)) {
      files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
    }
  }
}
