// All checks, in the order in which their findings are shown, and the facts for them.

internal import Bytes
internal import CLinux
package import Configuration
internal import Crashes
internal import EventLoop
internal import TLS

/// What a running node says of itself.
package struct RunningNode: Sendable, Equatable {
  /// Which version runs.
  package var version: String
  /// Whether a failed write has ended storing.
  package var hasEndedWriting: Bool
  /// How many stored responses were found damaged.
  package var damaged: UInt64
  /// Whether it is drained.
  package var isDrained: Bool

  /// What was said.
  package init(version: String, hasEndedWriting: Bool, damaged: UInt64, isDrained: Bool) {
    self.version = version
    self.hasEndedWriting = hasEndedWriting
    self.damaged = damaged
    self.isDrained = isDrained
  }
}

/// Looks at all that a node of a configuration needs. Blocks, for some seconds at most for each server
/// that does not answer.
package struct Checkup {
  private let configuration: NodeConfiguration
  private let now: Int64
  /// What the running node says; nil: there is none, or it does not answer.
  private let node: RunningNode?
  /// How long a server may take, in milliseconds.
  private let patience: Int32

  /// - Parameter now: seconds since 1970.
  package init(
    _ configuration: NodeConfiguration, node: RunningNode?, now: Int64, patience: Int32 = 2_000
  ) {
    self.configuration = configuration
    self.node = node
    self.now = now
    self.patience = patience
  }

  /// All findings.
  package func findings() -> [CheckFinding] {
    let origins = configuration.origins.flatMap { pool in
      pool.servers.map { Reachability.look(at: $0.address, of: pool, patience: patience, now: now) }
    }
    return [running] + listeners + [descriptors] + SystemChecks.kernel { Facts.text(of: $0) }
      + [
        SystemChecks.clock(
          now: now, built: Facts.executableTime,
          others: origins.compactMap { origin in origin.ahead.map { (origin.name, $0) } })
      ] + store + crashes + certificates + origins.map(\.finding)
  }

  private var running: CheckFinding {
    guard let node else {
      return CheckFinding(
        .warning, "node", "none answers on the admin listener",
        advice: "weir run starts one; if one runs, is its configuration this one?")
    }
    if node.isDrained {
      return CheckFinding(
        .warning, "node", "version \(node.version) runs, and is drained",
        advice: "weir undrain takes clients again")
    }
    return CheckFinding(.ok, "node", "version \(node.version) runs")
  }

  private var listeners: [CheckFinding] {
    guard node == nil else { return [] }
    var all = configuration.listeners
    if case .network(let address)? = configuration.admin?.address { all.append(address) }
    return all.filter { $0.port != 0 }.map(Reachability.canListen)
  }

  private var descriptors: CheckFinding {
    SystemChecks.descriptors(
      limit: Facts.descriptorLimit, connections: configuration.client.maxConnections)
  }

  private var store: [CheckFinding] {
    guard let store = configuration.store else {
      return [CheckFinding(.warning, "store", "none: nothing is cached", advice: "add store DIR;")]
    }
    var findings = StoreChecks.directory(
      store.path, size: store.size, Facts.directory(store.path))
    if node?.hasEndedWriting == true {
      findings.append(
        CheckFinding(
          .error, "store", "a failed write has ended storing: the node goes on without",
          advice: "look at the disk and the kernel's log, then restart the node"))
    }
    if let damaged = node?.damaged, damaged > 0 {
      findings.append(
        CheckFinding(
          .warning, "store", "\(damaged) stored responses did not match their checksums",
          advice: "look at the disk and the memory of this machine"))
    }
    return findings
  }

  private var crashes: [CheckFinding] {
    guard let store = configuration.store else { return [] }
    let folder = CrashFolder(store: store.path)
    let drops = folder.drops
    return folder.summaries.map { CrashChecks.finding($0, drops: drops) }
  }

  private var certificates: [CheckFinding] {
    var seen: Set<String> = []
    let all =
      configuration.certificates + configuration.sites.flatMap(\.certificates)
      + [configuration.admin?.certificate].compactMap { $0 }
    return all.filter { seen.insert($0.chain).inserted }.map { certificate in
      let name = "certificate"
      do throws(TLSLoadError) {
        let facts = try CertificateFiles(chain: certificate.chain, key: certificate.key)
          .inspect(now: now)
        let days = (facts.notAfter - now) / 86_400
        let text = "\(certificate.chain) is good for \(days) days"
        if days >= 14 { return CheckFinding(.ok, name, text) }
        return CheckFinding(
          days < 3 ? .error : .warning, name, text,
          advice: "renew it; the node reads its files again by itself")
      } catch {
        return CheckFinding(.error, name, "\(error)", advice: "weir check says where it is named")
      }
    }
  }
}

/// What the machine says.
enum Facts {
  /// What a small file has; nil if it cannot be read.
  static func text(of path: String) -> String? {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let file = Descriptor(owning: number)
    var buffer = ByteBuffer()
    guard file.read(onto: &buffer, limit: 4_096).count != nil else { return nil }
    return String(decoding: buffer.view.array, as: UTF8.self)
  }

  /// When the executable was written, in seconds since 1970.
  static var executableTime: Int64 {
    var status = stat()
    guard unsafe stat("/proc/self/exe", &status) == 0 else { return 0 }
    return Int64(status.st_mtim.tv_sec)
  }

  /// How many descriptors a process may have at most.
  static var descriptorLimit: UInt64 { UInt64(clamping: Machine.raiseDescriptorLimit()) }

  /// What is known of a directory; of one that is not there, what is known of the next above it.
  static func directory(_ path: String) -> DirectoryFacts {
    var facts = DirectoryFacts()
    var place = path
    var status = stat()
    while unsafe stat(place, &status) != 0, place != "/" {
      facts.isThere = false
      let parent = place[..<(place.lastIndex(of: "/") ?? place.startIndex)]
      place = parent.isEmpty ? "/" : String(parent)
    }
    facts.isWritable = unsafe access(place, W_OK) == 0
    var system = statfs()
    if unsafe statfs(place, &system) == 0 {
      facts.kind = Int64(system.f_type)
      facts.free = UInt64(system.f_bavail) &* UInt64(clamping: system.f_bsize)
    }
    guard facts.isThere else { return facts }
    if unsafe stat(place + "/data.mdb", &status) == 0 {
      // What is written of it: the file is as long as the store may grow.
      facts.used = UInt64(clamping: status.st_blocks) &* 512
    }
    facts.names = names(in: place)
    return facts
  }

  private static func names(in path: String) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while names.count < 1_000, let entry = unsafe readdir(stream) {
      // Safe: the entry is good until the next readdir, its name ends with a zero.
      guard let text = unsafe weir_entry_name(entry) else { continue }
      names.append(unsafe String(cString: text))
    }
    return names.sorted()
  }
}
