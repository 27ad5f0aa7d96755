// A name server on a loopback address of its own: UDP, and A and AAAA of names that the test sets.

import Dispatch
import EdgeTesting
import Foundation

/// See the top of this file.
final class NameServer: Sendable {
  /// What is known of a name.
  struct Records: Sendable {
    /// Addresses as inet_pton(3) reads them.
    var v4: [String] = []
    var v6: [String] = []
    /// Whether the server says that it has failed.
    var fails = false
  }

  /// Where it answers; resolvers know no port but this.
  static let address = "127.7.7.7"
  static let port: UInt16 = 53

  let records: Watched<[String: Records]>
  /// Questions so far.
  let questions = Watched(0)
  private let socket: Int32
  private let ended = DispatchSemaphore(value: 0)

  /// Nil if the address cannot be had, which only root can.
  init?(_ records: [String: Records]) {
    self.records = Watched(records)
    socket = Foundation.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = Self.port.bigEndian
    address.sin_addr.s_addr = unsafe inet_addr(Self.address)
    let isBound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isBound else {
      close(socket)
      return nil
    }
    Thread.detachNewThread { [socket, records = self.records, questions, ended] in
      Self.serve(socket, records, questions)
      close(socket)
      ended.signal()
    }
  }

  /// Whether nobody else is the name server there, and this process may be.
  static var mayListen: Bool {
    let server = NameServer([:])
    server?.stop()
    return server != nil
  }

  /// Ends the thread, and gives the address back.
  func stop() {
    shutdown(socket, Int32(SHUT_RDWR))
    ended.wait()
  }

  private static func serve(
    _ socket: Int32, _ records: Watched<[String: Records]>, _ questions: Watched<Int>
  ) {
    var room = [UInt8](repeating: 0, count: 1_500)
    var from = sockaddr_storage()
    while true {
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let count = unsafe withUnsafeMutablePointer(to: &from) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe recvfrom(socket, &room, room.count, 0, $0, &length)
        }
      }
      guard count > 0 else { return }
      questions.update { $0 += 1 }
      guard let answer = answer(Array(room.prefix(count)), records.value) else { continue }
      _ = unsafe withUnsafePointer(to: &from) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe sendto(socket, answer, answer.count, 0, $0, length)
        }
      }
    }
  }

  /// RFC 1035 §4: the question's header and question, and the answers.
  private static func answer(_ question: [UInt8], _ records: [String: Records]) -> [UInt8]? {
    guard question.count > 16 else { return nil }
    var labels: [String] = []
    var at = 12
    while at < question.count, question[at] != 0 {
      let end = at + 1 + Int(question[at])
      guard end < question.count else { return nil }
      labels.append(String(decoding: question[(at + 1)..<end], as: UTF8.self))
      at = end
    }
    guard at + 5 <= question.count else { return nil }
    let known = records[labels.joined(separator: ".").lowercased()]
    var found: [[UInt8]] = []
    if let known, !known.fails {
      switch (question[at + 1], question[at + 2]) {
      case (0, 1): found = known.v4.compactMap { bytes($0, AF_INET, 4) }
      case (0, 28): found = known.v6.compactMap { bytes($0, AF_INET6, 16) }
      default: break
      }
    }
    // No such name, or a failure.
    let code: UInt8 = known == nil ? 3 : known?.fails == true ? 2 : 0
    var reply = Array(question[0..<2]) + [0x85, 0x80 | code, 0, 1, 0, UInt8(found.count)]
    reply += [0, 0, 0, 0] + question[12..<(at + 5)]
    for address in found {
      // The question's name, its type and class, no time to live, and the address.
      reply += [0xC0, 12, 0, question[at + 2], 0, 1, 0, 0, 0, 0, 0, UInt8(address.count)] + address
    }
    return reply
  }

  private static func bytes(_ text: String, _ family: Int32, _ count: Int) -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: count)
    return unsafe inet_pton(family, text, &room) == 1 ? room : nil
  }
}
