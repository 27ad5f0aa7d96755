import Bytes
import CLinux
import EventLoop
import Synchronization
import Testing

@testable import Origins

/// A listening unix socket in a directory of its own.
private final class UnixListener: Sendable {
  let path: String
  let socket: Descriptor

  init() throws {
    var template = Array("/tmp/weir-unix-XXXXXX".utf8CString)
    let directory = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) }
    }
    path = try #require(directory) + "/socket"
    let number = CLinux.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    socket = Descriptor(owning: number)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let name = Array(path.utf8)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let result = unsafe withUnsafeBytes(of: &address) {
      unsafe bind(
        number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
    #expect(result == 0 && listen(number, 4) == 0)
  }

  deinit {
    unsafe unlink(path)
    unsafe rmdir(String(path.dropLast("/socket".count)))
  }

  /// Answers one connection after its first bytes.
  func answer(_ text: String) {
    let number = accept(socket.number, nil, nil)
    guard number >= 0 else { return }
    let connection = Descriptor(owning: number)
    var input = ByteBuffer()
    _ = connection.read(onto: &input, limit: 4096)
    text.withView { _ = connection.send($0) }
  }
}

@Suite struct UnixSocketTests {
  @Test func `a server behind a unix socket is checked`() async throws {
    let listener = try UnixListener()
    let server = LoopThread(name: "unix") {
      listener.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    }
    let pool = OriginPool.make(weights: [1]) {
      $0.servers = [ServerSettings(.unix(listener.path))]
      $0.health = HealthCheckSettings()
    }
    let checker = try HealthChecker(pools: [CheckedPool(pool)], clock: NodeClock(), seed: 1) { _ in
    }
    try checker.start()
    while pool.report(now: 0).servers[0].checks == 0 { await Task.yield() }
    checker.stop()
    server.join()
    let report = pool.report(now: start).servers[0]
    #expect(report.lastCheck == .passed && report.name == "unix:" + listener.path)
    #expect(pool.servers[0].addresses.isEmpty && report.addresses.isEmpty)
  }
}
