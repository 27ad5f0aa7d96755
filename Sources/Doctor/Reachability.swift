// Whether servers of origins can be reached, and addresses listened on.

internal import Bytes
internal import CLinux
internal import Configuration
internal import EventLoop
internal import HTTPMessage

/// What came of looking for a server.
struct Reachability {
  /// What was found.
  var finding: CheckFinding
  /// What the server is called.
  var name: String
  /// How far its clock is ahead of this one's, in seconds; nil if it did not say.
  var ahead: Int64?

  /// Connects to a server and, if it speaks plain HTTP, asks it for its time.
  static func look(
    at address: ServerAddress, of pool: OriginConfiguration, patience: Int32, now: Int64
  ) -> Reachability {
    let subject = "origin \(pool.name)"
    guard case .host(let host, let port) = address else {
      return Reachability(finding: unix(address, subject), name: "\(address)")
    }
    let name = "\(host):\(port)"
    let addresses = Socket.resolve(host: host, port: port)
    guard !addresses.isEmpty else {
      return Reachability(
        finding: CheckFinding(
          .error, subject, "\(host) has no address",
          advice: "look at the name, and at /etc/resolv.conf"),
        name: name)
    }
    var reasons: [String] = []
    for address in addresses {
      do throws(Refusal) {
        let ahead = try ask(address, plainly: pool.tls == nil, host, patience, now)
        return Reachability(
          finding: CheckFinding(.ok, subject, "\(name) accepts connections"), name: name,
          ahead: ahead)
      } catch {
        reasons.append("\(address): \(error.text)")
      }
    }
    return Reachability(
      finding: CheckFinding(
        .error, subject, "\(name) cannot be reached (\(reasons.joined(separator: "; ")))",
        advice: "is it running, and does a firewall let this machine through?"), name: name)
  }

  private struct Refusal: Error {
    let text: String
  }

  private static func unix(_ address: ServerAddress, _ subject: String) -> CheckFinding {
    guard case .unix(let path) = address else { return CheckFinding(.ok, subject, "") }
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFSOCK) {
      return CheckFinding(.ok, subject, "\(path) is a socket")
    }
    return CheckFinding(
      .error, subject, "\(path) is no socket", advice: "is the server running?")
  }

  private static func connected(
    to address: SocketAddress
  ) throws(Refusal) -> Descriptor {
    do throws(Errno) {
      return try Socket.connect(to: address)
    } catch {
      throw Refusal(text: "\(error)")
    }
  }

  /// Connects, and asks for the time if that can be asked plainly; how far it is ahead.
  private static func ask(
    _ address: SocketAddress, plainly: Bool, _ host: String, _ patience: Int32, _ now: Int64
  ) throws(Refusal) -> Int64? {
    let socket = try connected(to: address)
    if let refusal = outcome(of: socket, patience) { throw refusal }
    return plainly ? clock(of: host, on: socket, patience, now).map { $0 - now } : nil
  }

  /// Why a connection did not come about; nil: it did.
  private static func outcome(of socket: borrowing Descriptor, _ patience: Int32) -> Refusal? {
    guard wait(for: Int16(POLLOUT), on: socket, patience) else {
      return Refusal(text: "no answer in \(patience) ms")
    }
    var error: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    // Safe: the kernel writes an Int32, into one.
    _ = unsafe getsockopt(socket.number, SOL_SOCKET, SO_ERROR, &error, &length)
    return error == 0 ? nil : Refusal(text: "\(Errno(error))")
  }

  /// What the server says the time is, in seconds since 1970; nil if it does not say.
  private static func clock(
    of host: String, on socket: borrowing Descriptor, _ patience: Int32, _ now: Int64
  ) -> Int64? {
    let request = Array("HEAD / HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n".utf8)
    guard request.withView({ socket.send($0) }).count == request.count,
      wait(for: Int16(POLLIN), on: socket, patience)
    else { return nil }
    var buffer = ByteBuffer()
    guard let count = socket.receive(onto: &buffer, limit: 16 << 10).count, count > 0 else {
      return nil
    }
    return date(in: String(decoding: buffer.view.array, as: UTF8.self), now: now)
  }

  private static func wait(
    for events: Int16, on socket: borrowing Descriptor, _ patience: Int32
  ) -> Bool {
    var descriptors = pollfd(fd: socket.number, events: events, revents: 0)
    return unsafe poll(&descriptors, 1, patience) > 0
  }

  /// The time of a `Date` line (RFC 9110 §5.6.7).
  static func date(in head: String, now: Int64) -> Int64? {
    for line in head.split(whereSeparator: \.isNewline) where line.lowercased().hasPrefix("date:") {
      var value = Array(line.utf8.dropFirst(5))
      while value.first == 0x20 { value.removeFirst() }
      return value.withView { HTTPDate.parse($0, now: now) }
    }
    return nil
  }

  /// Whether an address can be listened on.
  static func canListen(_ address: ListenAddress) -> CheckFinding {
    let host = address.host.isEmpty ? "::" : address.host
    let subject = "listener"
    let text = address.host.isEmpty ? ":\(address.port)" : "\(address.host):\(address.port)"
    guard let place = SocketAddress(host: host, port: address.port) else {
      return CheckFinding(.error, subject, "\(text) is no address", advice: "weir check says where")
    }
    do throws(Errno) {
      _ = try Socket.listen(on: place, shared: false)
      return CheckFinding(.ok, subject, "\(text) is free")
    } catch {
      let advice =
        switch error.code {
        case EADDRINUSE: "another program has it: ss -ltnp 'sport = :\(address.port)' says which"
        case EACCES, EPERM: "ports below 1024 want root, or CAP_NET_BIND_SERVICE as the unit has it"
        case EADDRNOTAVAIL: "this machine has no such address: ip addr shows those it has"
        default: "look at the address"
        }
      return CheckFinding(.error, subject, "\(text) cannot be had: \(error)", advice: advice)
    }
  }
}
