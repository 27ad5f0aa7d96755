// The addresses of a server, in the order in which a connection tries them.
//
// RFC 8305 §4: the resolver's order (RFC 6724) is kept within a family, and the families take turns, so
// that one that does not work costs one attempt and not all. Within a family each connection begins one
// address further, so that all are used. An address that failed in the last minute comes after the rest.

package import EventLoop

/// Up to 16 addresses, in order.
package struct AddressList: Sendable {
  private var addresses = InlineArray<16, SocketAddress>(
    repeating: SocketAddress(high: 0, low: 0, port: 0))
  /// How many there are.
  package private(set) var count = 0

  /// The most addresses.
  package static var capacity: Int { 16 }

  /// The first 16 of a list.
  package init(_ list: [SocketAddress] = []) { for address in list { append(address) } }

  /// The address of a number below `count`.
  package subscript(index: Int) -> SocketAddress {
    precondition(index >= 0 && index < count, "no such address")
    return addresses[index]
  }

  /// Adds an address, if there is room.
  package mutating func append(_ address: SocketAddress) {
    guard count < Self.capacity else { return }
    addresses[count] = address
    count += 1
  }

  /// Where an address is; nil if it is not there.
  package func firstIndex(of address: SocketAddress) -> Int? {
    for index in 0..<count where addresses[index] == address { return index }
    return nil
  }
}

/// See the top of this file.
struct AddressBook: Sendable {
  private(set) var addresses = AddressList()
  private var failedUntil = InlineArray<16, Int64>(repeating: 0)
  private var turn = 0

  /// How long an address that failed comes last: 60 seconds.
  private static var failureMemory: Int64 { 60_000_000_000 }

  init(_ addresses: AddressList = AddressList()) { self.addresses = addresses }

  /// Takes over what a lookup found. Nothing found: what was known is kept, for a name server that fails
  /// must not take the origin with it.
  mutating func replace(_ found: AddressList) {
    guard found.count > 0 else { return }
    var failures = InlineArray<16, Int64>(repeating: 0)
    for index in 0..<found.count {
      if let old = addresses.firstIndex(of: found[index]) { failures[index] = failedUntil[old] }
    }
    addresses = found
    failedUntil = failures
  }

  /// An address could not be connected to.
  mutating func failed(_ address: SocketAddress, now: Int64) {
    if let index = addresses.firstIndex(of: address) {
      failedUntil[index] = now &+ Self.failureMemory
    }
  }

  /// The order for the next connection.
  mutating func next(now: Int64) -> AddressList {
    let start = turn
    turn = (turn + 1) % 5040
    var order = AddressList()
    append(to: &order, start: start) { failedUntil[$0] <= now }
    append(to: &order, start: start) { failedUntil[$0] > now }
    return order
  }

  private func append(
    to order: inout AddressList, start: Int, where isWanted: (Int) -> Bool
  ) {
    var first = AddressList()
    var second = AddressList()
    var firstIsIPv4: Bool?
    for index in 0..<addresses.count where isWanted(index) {
      let family = firstIsIPv4 ?? addresses[index].isIPv4
      firstIsIPv4 = family
      if addresses[index].isIPv4 == family {
        first.append(addresses[index])
      } else {
        second.append(addresses[index])
      }
    }
    for number in 0..<max(first.count, second.count) {
      if number < first.count { order.append(first[(number + start) % first.count]) }
      if number < second.count { order.append(second[(number + start) % second.count]) }
    }
  }
}
