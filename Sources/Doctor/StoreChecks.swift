// The store's directory and its file system.

/// What is known of a directory.
package struct DirectoryFacts: Sendable, Equatable {
  /// Whether it is there, and a directory.
  package var isThere = true
  /// Whether this process may write in it.
  package var isWritable = true
  /// Which kind of file system it is on, as statfs(2) numbers them.
  package var kind: Int64 = 0
  /// What is free there, in bytes.
  package var free: UInt64 = .max
  /// What the store's file has already.
  package var used: UInt64 = 0
  /// The names in it.
  package var names: [String] = []

  /// A directory in which all is well.
  package init() {}
}

/// Whether responses can be stored there.
package enum StoreChecks {
  /// What the store needs besides its size: groups of commits that are under way (docs/architecture.md).
  private static let reserve: UInt64 = 256 << 20

  /// Looks at a store's directory. One that is not there is made by the node, if its parent lets it.
  package static func directory(
    _ path: String, size: UInt64, _ facts: DirectoryFacts
  ) -> [CheckFinding] {
    var findings: [CheckFinding] = []
    if !facts.isWritable {
      findings.append(
        CheckFinding(
          .error, "store", "\(path) cannot be written by this user",
          advice: "chown it to the node's user, or run this as that user"))
    } else {
      findings.append(
        CheckFinding(.ok, "store", facts.isThere ? path : "\(path) will be made"))
    }
    findings.append(fileSystem(facts))
    findings.append(space(size, facts))
    if facts.names.contains("damaged") {
      findings.append(
        CheckFinding(
          .warning, "store", "the last run found its file damaged",
          advice: "the next start sets it aside and begins with an empty store; look at the disk"))
    }
    let aside = facts.names.filter { $0.contains(".bad-") || $0.hasSuffix(".bad") }
    if let first = aside.first {
      findings.append(
        CheckFinding(
          .warning, "store",
          "a store that was damaged, or another version's, was set aside as \(first)",
          advice: "look at it, then delete it: it takes space"))
    }
    return findings
  }

  private static func fileSystem(_ facts: DirectoryFacts) -> CheckFinding {
    let name = "file system"
    switch facts.kind {
    case 0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x6573_5546, 0x0102_1997:
      return CheckFinding(
        .error, name, "the store is on a network's file system, whose locks and maps do not hold",
        advice: "put it on a disk of this machine, with ext4 or XFS")
    case 0x0102_1994:
      return CheckFinding(
        .warning, name, "the store is in memory (tmpfs): it is gone with the machine's restart",
        advice: "put it on a disk, unless that is meant")
    case 0x794C_7630:
      return CheckFinding(
        .warning, name, "the store is on an overlay, as in a container: slow, and gone with it",
        advice: "mount a volume there")
    default: return CheckFinding(.ok, name, "a local one")
    }
  }

  private static func space(_ size: UInt64, _ facts: DirectoryFacts) -> CheckFinding {
    let (wanted, _) = size.addingReportingOverflow(reserve)
    let missing = wanted > facts.used ? wanted - facts.used : 0
    let text = "\(facts.free >> 20) MiB free, the store may still grow by \(missing >> 20) MiB"
    if facts.free >= missing { return CheckFinding(.ok, "free space", text) }
    return CheckFinding(
      .error, "free space", text, advice: "a smaller size in store, or a larger disk")
  }
}
