package import Crashes

/// What crashes have left behind.
package enum CrashChecks {
  /// What a report says at a glance, and where it is.
  package static func finding(_ crash: CrashSummary) -> CheckFinding {
    var text = "\(crash.time): a node died by signal \(crash.signal)"
    if !crash.thread.isEmpty { text += " in \(crash.thread)" }
    if !crash.build.isEmpty { text += ", build \(crash.build.prefix(12))" }
    if !crash.functions.isEmpty { text += "; at \(crash.functions.joined(separator: ", in "))" }
    if !crash.requests.isEmpty {
      text += "; begun last: \(crash.requests.joined(separator: ", "))"
    }
    return CheckFinding(
      .warning, "crash", text,
      advice: "hand \(crash.file) to who maintains Weir; deleting it ends this warning")
  }
}
