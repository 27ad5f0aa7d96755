package import Crashes

/// What crashes have left behind.
package enum CrashChecks {
  /// What a report says at a glance, where it is, and whether the object that it names was dropped.
  package static func finding(_ crash: CrashSummary, drops: [CrashDrop] = []) -> CheckFinding {
    var text = "\(crash.time): a node died by signal \(crash.signal)"
    if !crash.thread.isEmpty { text += " in \(crash.thread)" }
    if !crash.build.isEmpty { text += ", build \(crash.build.prefix(12))" }
    if !crash.functions.isEmpty { text += "; at \(crash.functions.joined(separator: ", in "))" }
    if !crash.requests.isEmpty {
      text += "; begun last: \(crash.requests.joined(separator: ", "))"
    }
    if let naming = crash.naming {
      text += "; at work on object \(CrashNaming.digits(naming.object))"
      if let drop = drops.last(where: { $0.crashes.contains(naming) }) {
        text += ", which two crashes name: dropped from the store at \(drop.time)"
      }
    }
    return CheckFinding(
      .warning, "crash", text,
      advice: "hand \(crash.file) to who maintains Weir; deleting it ends this warning")
  }
}
