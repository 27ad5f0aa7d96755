// Looks at the files of certificates from time to time, and takes in those that were renewed; changes the
// key of session tickets when its time is over. On a thread of its own: reading certificates takes
// milliseconds.
//
// What cannot be used is said once and changes nothing: the node goes on with what it has, and looks again
// when a file has changed again. (Whoever renews writes certificate and key one after the other; between
// the two they do not fit.)

internal import CLinux
internal import Configuration
internal import Edge
internal import EventLoop
internal import Synchronization
internal import TLS

final class CertificateWatcher: Sendable {
  /// What tells one state of a file from another.
  private struct Stamp: Equatable {
    var device: UInt64 = 0
    var inode: UInt64 = 0
    var size: Int64 = -1
    var seconds: Int = 0
    var nanoseconds: Int = 0
  }

  private struct State {
    var configuration: NodeConfiguration
    var stamps: [String: Stamp]
    var isForced = false
  }

  private let context: NodeContext
  private let certificates: NodeCertificates
  private let note: @Sendable (String) -> Void
  private let state: Mutex<State>
  private let thread: RepeatingThread

  init(
    _ context: NodeContext, _ certificates: NodeCertificates, _ configuration: NodeConfiguration,
    note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {
    self.context = context
    self.certificates = certificates
    self.note = note
    thread = try RepeatingThread()
    state = Mutex(
      State(configuration: configuration, stamps: Self.stamps(of: configuration)))
  }

  func start() {
    thread.start("weir-tls", pause: { [self] in pause }) { [self] in look() }
  }

  func stop() { thread.stop() }

  /// Reads all files anew, whether they seem to have changed or not.
  func reload() {
    state.withLock { $0.isForced = true }
    thread.wake()
  }

  /// Goes by another configuration from now on; its certificates are shown already.
  func follow(_ configuration: NodeConfiguration) {
    let stamps = Self.stamps(of: configuration)
    state.withLock { state in
      state.configuration = configuration
      state.stamps = stamps
    }
    thread.wake()
  }

  private var pause: Int32 {
    let tls = state.withLock { $0.configuration.tls }
    let time = min(tls.watchInterval ?? .max, tls.ticketRotation)
    return Int32(clamping: max(time / 1_000_000, 100))
  }

  private func look() {
    let (configuration, isForced) = state.withLock { state in
      defer { state.isForced = false }
      return (state.configuration, state.isForced)
    }
    certificates.rotateTickets(
      now: context.clock.now().monotonic, interval: configuration.tls.ticketRotation)
    guard isForced || configuration.tls.watchInterval != nil else { return }
    let stamps = Self.stamps(of: configuration)
    let hasChanged = state.withLock { state in
      defer { state.stamps = stamps }
      return state.stamps != stamps
    }
    guard isForced || hasChanged else { return }
    do throws(TLSLoadError) {
      let prepared = try certificates.prepare(configuration)
      certificates.publish(prepared)
      context.showCertificates()
      note("certificates: read anew")
      for notice in prepared.notices { note("certificates: \(notice)") }
    } catch {
      note("certificates: \(error); those of before are shown still")
    }
  }

  private static func stamps(of configuration: NodeConfiguration) -> [String: Stamp] {
    var stamps: [String: Stamp] = [:]
    let all =
      configuration.certificates + configuration.sites.flatMap(\.certificates)
      + [configuration.admin?.certificate].compactMap { $0 }
    for certificate in all {
      for path in [certificate.chain, certificate.key, certificate.staple] {
        if let path { stamps[path] = stamp(of: path) }
      }
    }
    if let path = configuration.tls.clientAuthorities { stamps[path] = stamp(of: path) }
    return stamps
  }

  private static func stamp(of path: String) -> Stamp {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return Stamp() }
    return Stamp(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
      seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
  }
}
