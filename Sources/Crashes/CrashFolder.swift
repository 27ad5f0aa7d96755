package import Bytes
internal import CLinux
package import EventLoop

/// Where reports of crashes are kept, beside the store: the last few, for the node's user only.
package struct CrashFolder {
  /// The most that are kept.
  package static let most = 5
  /// The directory.
  package let path: String
  private let store: String

  /// The folder of a store.
  package init(store: String) {
    self.store = store
    path = store + "/crashes"
  }

  /// Writes a report, and deletes the oldest beyond those that are kept; the path of its file.
  package func write(_ report: CrashReport) throws(Errno) -> String {
    try make()
    let time = CrashReport.text(ofTime: report.time).filter { $0 != ":" && $0 != "-" }
    let file = "\(path)/crash-\(time)-\(report.process).txt"
    try StateFile.write(Array(report.text.utf8), to: file)
    for old in names.dropLast(Self.most) { unsafe unlink("\(path)/\(old)") }
    return file
  }

  /// Makes the directory, and those above it.
  func make() throws(Errno) {
    var parent = ""
    for part in path.split(separator: "/", omittingEmptySubsequences: false).dropLast(2) {
      parent += part + "/"
      // Whether the last one works is what matters.
      if !part.isEmpty { _ = unsafe mkdir(parent, 0o755) }
    }
    _ = unsafe mkdir(store, 0o750)
    if unsafe mkdir(path, 0o700) != 0, weir_errno() != EEXIST { throw .current }
  }

  /// The names of the reports, the oldest first.
  private var names: [String] {
    entries { $0.hasPrefix("crash-") && $0.hasSuffix(".txt") }
  }

  /// The names of files that are meant, in order.
  func entries(_ isMeant: (String) -> Bool) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while names.count < 1_000, let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      let name = unsafe String(cString: text)
      if isMeant(name) { names.append(name) }
    }
    return names.sorted()
  }

  // MARK: Objects that crashes name

  /// The objects that two crashes or more name, with those crashes: reports that are kept, and what the
  /// supervisor has told since. A crash for which its object was dropped already counts no more.
  package func suspects(told: [CrashNaming] = []) -> [[CrashNaming]] {
    let done = Set(drops.flatMap(\.crashes))
    let all = Set(summaries.compactMap(\.naming) + told).subtracting(done)
    return Dictionary(grouping: all, by: \.object).values.filter { $0.count > 1 }
      .map { $0.sorted { $0.crash < $1.crash } }
  }

  /// The file that says which objects were dropped.
  private var dropsFile: String { path + "/dropped" }
  private static let mostDrops = 32

  /// Notes that objects were dropped for crashes that name them, at `now` (seconds since 1970).
  package func noteDropped(_ suspects: [[CrashNaming]], now: Int64) throws(Errno) {
    let new = suspects.map { CrashDrop(time: CrashReport.text(ofTime: now), crashes: $0) }
    let text = (drops + new).suffix(Self.mostDrops).map(\.text).joined()
    try make()
    try StateFile.write(Array(text.utf8), to: dropsFile)
  }

  /// What was dropped, the oldest first.
  package var drops: [CrashDrop] {
    guard let bytes = StateFile.read(dropsFile) else { return [] }
    return String(decoding: bytes.prefix(64 << 10), as: UTF8.self).split(separator: "\n")
      .compactMap { CrashDrop(line: $0) }
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

/// An object that was dropped from the store.
package struct CrashDrop: Sendable, Equatable {
  /// When.
  package var time: String
  /// The crashes that had named it.
  package var crashes: [CrashNaming]

  init(time: String, crashes: [CrashNaming]) {
    self.time = time
    self.crashes = crashes
  }

  /// The time, and each naming behind a space.
  var text: String { ([time] + crashes.map(\.text)).joined(separator: " ") + "\n" }

  init?(line: some StringProtocol) {
    let words = line.split(separator: " ")
    guard words.count > 1 else { return nil }
    time = String(words[0])
    crashes = words.dropFirst().compactMap { CrashNaming(text: $0) }
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
  /// Which process it was.
  package var process: Int32 = 0
  /// The stored object that the thread worked on, by its keyed hash.
  package var object: Hash128?
  /// The two together; nil if it worked on none.
  package var naming: CrashNaming? {
    object.map { CrashNaming(object: $0, process: process, time: time) }
  }
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
      if let value = Self.value("process", line) { process = Int32(value) ?? 0 }
      if let value = Self.value("object", line) { object = CrashNaming.hash(value) }
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
