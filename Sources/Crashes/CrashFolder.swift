internal import CLinux
package import EventLoop

/// Where reports of crashes are kept, beside the store: the last few, for the node's user only.
package struct CrashFolder {
  /// The most that are kept.
  package static let most = 5
  /// The directory.
  package let path: String

  /// The folder of a store.
  package init(store: String) { path = store + "/crashes" }

  /// Writes a report, and deletes the oldest beyond those that are kept; the path of its file.
  package func write(_ report: CrashReport) throws(Errno) -> String {
    if unsafe mkdir(path, 0o700) != 0, weir_errno() != EEXIST { throw .current }
    let time = CrashReport.text(ofTime: report.time).filter { $0 != ":" && $0 != "-" }
    let file = "\(path)/crash-\(time)-\(report.process).txt"
    try StateFile.write(Array(report.text.utf8), to: file)
    for old in names.dropLast(Self.most) { unsafe unlink("\(path)/\(old)") }
    return file
  }

  /// The names of the reports, the oldest first.
  private var names: [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while names.count < 1_000, let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      let name = unsafe String(cString: text)
      if name.hasPrefix("crash-"), name.hasSuffix(".txt") { names.append(name) }
    }
    return names.sorted()
  }

  /// What the reports say, the newest first.
  package var summaries: [CrashSummary] {
    names.suffix(Self.most).reversed().compactMap { name in
      let file = "\(path)/\(name)"
      return StateFile.read(file).flatMap {
        CrashSummary(String(decoding: $0.prefix(64 << 10), as: UTF8.self), file: file)
      }
    }
  }
}

/// What a report says at a glance.
package struct CrashSummary: Sendable, Equatable {
  /// Where the report is.
  package var file: String
  /// When it was.
  package var time = ""
  /// `11 (Segmentation fault)`.
  package var signal = ""
  /// Which build has died.
  package var build = ""
  /// In which thread; empty if that is not known.
  package var thread = ""
  /// The innermost functions, as far as they have names.
  package var functions: [String] = []
  /// The request that each worker began last, in the order of the workers.
  package var requests: [String] = []

  /// Reads a report; nil if it is none.
  init?(_ text: String, file: String) {
    self.file = file
    let lines = text.split(separator: "\n")
    guard lines.first == "weir crash report" else { return nil }
    var workers: Set<Substring> = []
    for line in lines.dropFirst() {
      if let value = Self.value("time", line) { time = value }
      if let value = Self.value("signal", line) { signal = value }
      if let value = Self.value("build", line) { build = value }
      if let value = Self.value("thread", line) { thread = value }
      guard line.hasPrefix("  ") else { continue }
      let words = line.dropFirst(2).split(separator: " ", maxSplits: 2)
      guard words.count == 3 else { continue }
      if words[0] == "worker" {
        if workers.insert(words[1]).inserted { requests.append(String(words[2])) }
      } else if functions.count < 3 {
        functions.append(String(words[2]))
      }
    }
  }

  private static func value(_ name: String, _ line: Substring) -> String? {
    line.hasPrefix(name + ": ") ? String(line.dropFirst(name.utf8.count + 2)) : nil
  }
}
