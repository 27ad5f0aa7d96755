import EventLoop
import Synchronization
import Testing

@testable import Origins

private func address(_ host: String) -> SocketAddress {
  SocketAddress(host: host, port: 80) ?? SocketAddress(high: 0, low: 0, port: 0)
}

@Suite struct AddressTests {
  private let mixed = AddressList(
    ["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"].map { address($0) })

  private func hosts(_ list: AddressList) -> [String] { (0..<list.count).map { list[$0].host } }

  @Test func `families take turns, and each connection begins one further`() {
    var book = AddressBook(mixed)
    #expect(hosts(book.next(now: start)) == ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"])
    #expect(hosts(book.next(now: start)) == ["::2", "10.0.0.2", "::3", "10.0.0.1", "::1"])
    var first = Set<String>()
    for _ in 0..<6 { first.insert(book.next(now: start)[0].host) }
    #expect(first == ["::1", "::2", "::3"])
  }

  @Test func `an address that failed comes last for a minute`() {
    var book = AddressBook(mixed)
    book.failed(address("::1"), now: start)
    #expect(hosts(book.next(now: start)) == ["::2", "10.0.0.1", "::3", "10.0.0.2", "::1"])
    book.replace(mixed)
    #expect(hosts(book.next(now: start)).last == "::1")
    #expect(hosts(book.next(now: start + 60 * second)).first != "10.0.0.1")
    #expect(hosts(book.next(now: start + 60 * second)).count == 5)
  }

  @Test func `what was known is kept when a lookup fails`() {
    var book = AddressBook(mixed)
    book.replace(AddressList())
    #expect(book.addresses.count == 5)
    book.replace(AddressList([address("10.9.9.9")]))
    #expect(hosts(book.next(now: start)) == ["10.9.9.9"])
  }

  @Test func `an attempt begins after a failure at once, else after 250 ms`() {
    var plan = ConnectPlan(AddressList(["::1", "10.0.0.1", "::2"].map { address($0) }))
    #expect(plan.next(now: start) == .connect(address("::1"), number: 0))
    #expect(plan.next(now: start) == .wait(until: start + 250 * millisecond))
    plan.failed(0, now: start + millisecond)
    #expect(plan.next(now: start + millisecond) == .connect(address("10.0.0.1"), number: 1))
    #expect(
      plan.next(now: start + 251 * millisecond) == .connect(address("::2"), number: 2))
    #expect(plan.next(now: start + 252 * millisecond) == .wait(until: .max))
    #expect(plan.attempts == 2)
    plan.failed(2, now: start + 253 * millisecond)
    #expect(plan.next(now: start + 253 * millisecond) == .wait(until: .max))
    plan.failed(1, now: start + 254 * millisecond)
    #expect(plan.next(now: start + 254 * millisecond) == .exhausted)
    var none = ConnectPlan(AddressList())
    #expect(none.next(now: start) == .exhausted)
  }

  @Test func `a lookup comes again after its interval, sooner after a failure`() {
    var schedule = ResolutionSchedule(interval: 10 * second)
    #expect(schedule.isDue(now: start))
    schedule.ended(foundAny: true, now: start)
    #expect(schedule.next == start + 10 * second)
    for pause in [1, 2, 4, 8, 10, 10] as [Int64] {
      schedule.ended(foundAny: false, now: start)
      #expect(schedule.next == start + pause * second)
    }
    schedule.ended(foundAny: true, now: start)
    schedule.ended(foundAny: false, now: start)
    #expect(schedule.next == start + second)
  }

  @Test func `a name is resolved on the way, and keeps its addresses when that fails`() throws {
    let answers = Mutex<[[SocketAddress]]>([
      [address("10.1.1.1"), address("::7")], [], [address("10.1.1.2")],
    ])
    let pool = OriginPool.make(weights: [1]) {
      $0.servers.append(ServerSettings(.host("shop.example", port: 8080)))
    }
    let resolver = try Resolver(pools: [pool]) { host, port in
      #expect(host == "shop.example" && port == 8080)
      return answers.withLock { $0.isEmpty ? [] : $0.removeFirst() }
    }
    let server = pool.servers[1]
    #expect(server.addresses.map(\.host) == ["10.1.1.1", "::7"])
    resolver.resolveDue(now: .max)
    #expect(server.addresses.count == 2)
    resolver.resolveDue(now: .max)
    #expect(server.addresses.map(\.host) == ["10.1.1.2"])
    #expect(pool.servers[0].addresses.map(\.host) == ["10.0.0.1"])
  }

  @Test(arguments: ["", String(repeating: "x", count: 108), "a\0b"])
  func `a path that is no unix socket's is refused`(path: String) {
    #expect(throws: Errno.self) { _ = try UnixSocket.connect(to: path) }
  }
}
