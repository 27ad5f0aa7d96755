import Bytes
import Synchronization
import Testing

@testable import ObjectStore

@Suite struct FleetBookTests {
  /// Opens a store for as long as `body` runs.
  private func withStore<Result>(
    in directory: TemporaryDirectory, _ body: (ObjectStore) throws -> Result
  ) throws -> Result {
    let store = try ObjectStore.open(
      StoreOptions(path: directory.path, sizeLimit: 8 << 20, readers: 1))
    defer { store.close() }
    return try body(store)
  }

  /// Purges, and waits until it is durable.
  @discardableResult
  private func purge(
    _ store: ObjectStore, _ tag: UInt64, _ mark: FleetMark, time: Int64 = 1_000
  ) throws -> PurgeReceipt {
    let result = Mutex<Result<PurgeReceipt, PurgeFailure>?>(nil)
    let latch = Latch()
    store.purge(PurgeOrder(.tags([tag]), time: time, fleet: mark)) { outcome in
      result.withLock { $0 = outcome }
      latch.open()
    }
    latch.wait()
    return try #require(result.withLock { $0 }).get()
  }

  private func place(_ number: UInt64, pop: UInt64 = 7) -> LogPlace {
    LogPlace(
      position: LogPosition(milliseconds: 100 + number, number: number), pop: pop, number: number,
      stamp: number &* 31)
  }

  private func mark(_ place: LogPlace) -> FleetMark {
    FleetMark(
      .applied, pop: place.pop, number: place.number, position: place.position, history: 5,
      stamp: place.stamp)
  }

  @Test func `what is known of the log is there again after a restart`() throws {
    let directory = TemporaryDirectory()
    let (before, numbers) = try withStore(in: directory) { try fill($0) }
    try withStore(in: directory) { store in
      let after = store.fleetBook()
      #expect(after == before)
      #expect(after.position == place(5).position)
      #expect(after.recent == (1...5).map { place($0) })
      #expect(after.knows(place(3)) && !after.knows(place(6)))
      #expect(
        store.fleetOrders(after: 0, limit: 10)
          == [OutboxEntry(number: numbers.1, position: nil, order: Array("two".utf8))])
      #expect(store.fleetOrders(after: numbers.1, limit: 10).isEmpty)
      // The log stands only as far as before the first of them.
      store.forgetFleetPlaces(after: .start)
      #expect(store.fleetOrders(after: 0, limit: 10).map(\.number) == [numbers.0, numbers.1])
      #expect(store.fleetOrdersWaiting == 2)
    }
  }

  /// Some of each: five purges of another PoP, and two own ones, of which the first stands in the log.
  private func fill(_ store: ObjectStore) throws -> (FleetBook, (UInt64, UInt64)) {
    let pop = store.fleetBook().pop
    #expect(pop != 0)
    try purge(store, 1, FleetMark(.rejoined, pop: pop, history: 5))
    for number in 1...5 as ClosedRange<UInt64> { try purge(store, number, mark(place(number))) }
    let one = try purge(store, 9, FleetMark(.own, pop: 0, order: Array("one".utf8)))
    let two = try purge(store, 9, FleetMark(.own, pop: 0, order: Array("two".utf8)))
    let numbers = try (#require(one.record.fleet).number, #require(two.record.fleet).number)
    #expect(numbers.0 >= 1_000)
    #expect(numbers.1 > numbers.0)
    #expect(store.hasFleetOrders)
    store.noteAppended([place(numbers.0, pop: pop)])
    return (store.fleetBook(), numbers)
  }

  @Test func `the book outlives the log's being written anew, without growing`() throws {
    let directory = TemporaryDirectory()
    let order = [UInt8](repeating: 0x61, count: 60_000)
    let before = try withStore(in: directory) { store in
      let pop = store.fleetBook().pop
      try purge(store, 1, FleetMark(.rejoined, pop: pop, history: 5))
      var places: [LogPlace] = []
      for count in 1...150 as ClosedRange<UInt64> {
        let receipt = try purge(store, count, FleetMark(.own, pop: 0, order: order))
        // Where it stands is before what is read last, as ever once the log was read that far.
        var own = place(count, pop: pop)
        own.number = try #require(receipt.record.fleet).number
        places.append(own)
        try purge(store, count, mark(place(count)))
      }
      store.noteAppended(places)
      return store.fleetBook()
    }
    #expect(before.waiting == 0)
    #expect(before.outbox.count > 100)
    #expect(TemporaryDirectory.read(directory.file("purges")).count < 16 << 20)
    try withStore(in: directory) { store in
      let after = store.fleetBook()
      #expect(after.outbox.map(\.number) == before.outbox.map(\.number))
      #expect(after.waiting == 0)
      #expect(after.seen == before.seen)
      #expect(after.position == before.position)
      #expect(after.lastNumber == before.lastNumber)
      #expect(after.recent.suffix(100) == before.recent.suffix(100))
      #expect(store.purgeRecords(limit: 1_000).count == 301)
    }
  }

  @Test func `a mark is read as it was written, and a damaged one is none`() {
    let mark = FleetMark(
      .applied, pop: 1, number: 2, position: LogPosition(milliseconds: 3, number: 4), history: 5,
      stamp: 6, order: [7, 8])
    var bytes = ByteBuffer()
    mark.append(to: &bytes)
    #expect(FleetMark(bytes.view) == mark)
    for length in 0..<FleetMark.headerSize { #expect(FleetMark(bytes.view.prefix(length)) == nil) }
    bytes.overwrite(at: 0, littleEndian: 99 as UInt64)
    #expect(FleetMark(bytes.view) == nil)
  }

  @Test(arguments: ["", "-", "1", "1-", "-1", "a-1", "1-1-1", "18446744073709551616-0"])
  func `what is no position is none`(text: String) {
    #expect(LogPosition(text) == nil)
  }

  @Test func `positions compare by time, then by number`() {
    let places = ["0-0", "0-1", "1-0", "1-10", "2-9", "10-0"].compactMap { LogPosition($0) }
    #expect(places == places.sorted())
    #expect(places.map(\.text) == ["0-0", "0-1", "1-0", "1-10", "2-9", "10-0"])
  }
}
