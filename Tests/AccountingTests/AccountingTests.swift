import FoundationEssentials
import Metrics
import Synchronization
import Testing

@testable import Accounting

private func account(
  _ requests: UInt64, sent: UInt64 = 0, stored: UInt64 = 0, received: UInt64 = 0
) -> RouteAccount {
  var account = RouteAccount()
  account.requests = requests
  account.sent = sent
  account.stored = stored
  account.received = received
  return account
}

/// A directory of its own for a test, gone with it, and books in it.
private final class Shelf: Sendable {
  let path: String
  let figures = Mutex<[String: RouteAccount]>([:])
  let notes = Mutex<[String]>([])

  init() {
    path = FileManager.default.temporaryDirectory.path + "/weir-accounts-\(UUID().uuidString)"
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func book(at now: Int64) -> AccountingBook {
    AccountingBook(
      directory: path, now: now, figures: { self.figures.withLock { $0 } },
      note: { line in self.notes.withLock { $0.append(line) } })
  }

  func set(_ route: String, _ value: RouteAccount) { figures.withLock { $0[route] = value } }

  var files: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
}

private let hour: Int64 = 3_600_000
private let day: Int64 = 24 * hour
/// 2026-07-10 00:00 UTC.
private let start: Int64 = 1_783_641_600_000

@Suite struct CivilDayTests {
  @Test func `days have their names, and names their days`() {
    for (number, name) in [
      (0, "1970-01-01"), (20_644, "2026-07-10"), (19_782, "2024-02-29"), (11_016, "2000-02-29"),
      (2_932_896, "9999-12-31"),
    ] {
      #expect(CivilDay(number: number).description == name)
      #expect(CivilDay(name)?.number == number)
    }
    for number in stride(from: 0, to: 60_000, by: 7) {
      #expect(CivilDay(CivilDay(number: number).description)?.number == number)
    }
    #expect(CivilDay(wall: start).description == "2026-07-10")
    for name in [
      "", "2026-02-29", "2026-7-10", "2026-13-01", "2026-00-01", "1969-12-31", "2026-07-1a",
      "2026-07-10-", "+026-07-10",
    ] {
      #expect(CivilDay(name) == nil, "\(name)")
    }
  }
}

@Suite struct AccountingDayTests {
  @Test func `a file says what was written`() throws {
    var content = AccountingDay()
    content.add(account(1, sent: 2, stored: 3, received: 4), to: .init(hour: 0, route: "a/"))
    content.add(account(5), to: .init(hour: 23, route: "*.b.example=/x y"))
    content.add(account(7), to: .init(hour: nil, route: "[::1]/"))
    #expect(AccountingDay(content.text) == content)
    #expect(AccountingDay(AccountingDay().text) == AccountingDay())
    var large = AccountingDay()
    large.add(account(.max, sent: .max), to: .init(hour: 3, route: "a/"))
    #expect(AccountingDay(large.text) == large)
  }

  @Test func `a file that is cut off, changed or another's is refused`() throws {
    var content = AccountingDay()
    for number in 0..<5 { content.add(account(9), to: .init(hour: number, route: "r\(number)/")) }
    let text = content.text
    for length in 0..<text.utf8.count {
      #expect(AccountingDay(String(decoding: text.utf8.prefix(length), as: UTF8.self)) == nil)
    }
    for wrong in [
      text.replacing("\t9\t", with: "\t-9\t"), text.replacing("end 5", with: "end 4"),
      text.replacing("accounting 1", with: "accounting 2"), text.replacing("\n3\t", with: "\n24\t"),
      text + "\n",
    ] {
      #expect(AccountingDay(wrong) == nil)
    }
  }
}

@Suite struct AccountingBookTests {
  @Test func `what is counted stands under the hour that it was counted in`() {
    let shelf = Shelf()
    let book = shelf.book(at: start)
    shelf.set("a/", account(10, sent: 100, stored: 60, received: 40))
    book.update(now: start + 60_000)
    shelf.set("a/", account(15, sent: 200, stored: 100, received: 70))
    shelf.set("b/", account(1))
    book.update(now: start + hour)
    shelf.set("a/", account(16, sent: 201, stored: 100, received: 70))
    book.update(now: start + hour + 60_000)
    let content = book.day(CivilDay(wall: start))
    #expect(
      content.accounts == [
        .init(hour: 0, route: "a/"): account(15, sent: 200, stored: 100, received: 70),
        .init(hour: 0, route: "b/"): account(1), .init(hour: 1, route: "a/"): account(1, sent: 1),
      ])
    #expect(shelf.files == ["2026-07-10.tsv", "lock"])
  }

  @Test func `a restart goes on where the former stood, and two at a time add up`() {
    let shelf = Shelf()
    shelf.set("a/", account(10))
    shelf.book(at: start).update(now: start + 1)
    // Counters begin at 0 with the next process, while the first still counts.
    let other = Shelf()
    let second = AccountingBook(
      directory: shelf.path, now: start, figures: { other.figures.withLock { $0 } }, note: { _ in })
    let first = shelf.book(at: start)
    for number in 1...20 {
      other.set("a/", account(UInt64(number)))
      shelf.set("a/", account(10 + UInt64(number)))
      second.update(now: start + Int64(number))
      first.update(now: start + Int64(number))
    }
    // `first` was made with the counters at 0, too.
    #expect(
      first.day(CivilDay(wall: start)).accounts
        == [.init(hour: 0, route: "a/"): account(10 + 20 + 30)])
  }

  @Test func `hours go after 90 days, days after two years`() {
    let shelf = Shelf()
    let book = shelf.book(at: start)
    shelf.set("a/", account(3))
    book.update(now: start + 1)
    shelf.set("a/", account(5))
    book.update(now: start + 2 * hour)
    shelf.set("a/", account(6))
    book.update(now: start + 3 * hour)
    book.update(now: start + 90 * day)
    #expect(book.day(CivilDay(wall: start)).accounts.count == 2)
    book.update(now: start + 91 * day)
    #expect(
      book.day(CivilDay(wall: start)).accounts == [.init(hour: nil, route: "a/"): account(6)])
    book.update(now: start + 731 * day)
    #expect(book.day(CivilDay(wall: start)).accounts.count == 1)
    book.update(now: start + 732 * day)
    #expect(book.day(CivilDay(wall: start)).accounts.isEmpty)
    #expect(shelf.files == ["lock"] && shelf.notes.withLock { $0.isEmpty })
  }

  @Test func `what cannot be written waits, and a damaged file is set aside`() throws {
    let shelf = Shelf()
    let book = shelf.book(at: start)
    shelf.set("a/", account(3))
    try FileManager.default.removeItem(atPath: shelf.path)
    book.update(now: start + 1)
    book.update(now: start + 1)
    #expect(shelf.notes.withLock { $0.count } == 1)
    try FileManager.default.createDirectory(
      atPath: shelf.path, withIntermediateDirectories: true)
    try Data("nonsense".utf8).write(to: URL(filePath: shelf.path + "/2026-07-10.tsv"))
    // What waits is shown.
    #expect(book.day(CivilDay(wall: start)).accounts == [.init(hour: 0, route: "a/"): account(3)])
    book.update(now: start + 2)
    #expect(book.day(CivilDay(wall: start)).accounts == [.init(hour: 0, route: "a/"): account(3)])
    #expect(shelf.files == ["2026-07-10.tsv", "2026-07-10.tsv.damaged", "lock"])
  }
}

@Suite struct RefreshTests {
  @Test func `what was counted is shown before it is written`() {
    let shelf = Shelf()
    let book = shelf.book(at: start)
    shelf.set("a/", account(3))
    book.refresh(now: start + 1)
    #expect(shelf.files.isEmpty)
    #expect(book.day(CivilDay(wall: start)).accounts == [.init(hour: 0, route: "a/"): account(3)])
    shelf.set("a/", account(4))
    book.update(now: start + 2)
    #expect(book.day(CivilDay(wall: start)).accounts == [.init(hour: 0, route: "a/"): account(4)])
  }
}

@Suite struct AccountingQueryTests {
  private func query(
    _ from: String?, _ to: String?, _ step: AccountingQuery.Step = .hour,
    _ subject: AccountingQuery.Subject = .route
  ) throws -> AccountingQuery {
    try AccountingQuery(
      from: from, to: to, step: step, subject: subject, now: start + 5 * hour + 1)
  }

  private var content: AccountingDay {
    var content = AccountingDay()
    content.add(account(1), to: .init(hour: 4, route: "a.example/"))
    content.add(account(2), to: .init(hour: 4, route: "a.example/x/"))
    content.add(account(4), to: .init(hour: 5, route: "a.example=/y"))
    content.add(account(8), to: .init(hour: 5, route: "none"))
    return content
  }

  @Test func `rows are by hour or day, and by route, site or node`() throws {
    let today = CivilDay(wall: start)
    func rows(_ query: AccountingQuery) -> [String] {
      query.rows(of: today, content).map {
        "\($0.start) \($0.site) \($0.route) \($0.account.requests)"
      }
    }
    #expect(
      rows(try query(nil, nil)) == [
        "2026-07-10T04 a.example a.example/ 1", "2026-07-10T04 a.example a.example/x/ 2",
        "2026-07-10T05  none 8", "2026-07-10T05 a.example a.example=/y 4",
      ])
    #expect(
      rows(try query("2026-07-10T05", nil, .hour, .site))
        == ["2026-07-10T05   8", "2026-07-10T05 a.example  4"])
    #expect(rows(try query(nil, "2026-07-10T04", .hour, .node)) == ["2026-07-10T04   3"])
    #expect(rows(try query(nil, nil, .day, .node)) == ["2026-07-10   15"])
    let summed = content.summed
    #expect(try query(nil, nil).rows(of: today, summed).isEmpty)
    #expect(try query(nil, nil, .day, .node).rows(of: today, summed).count == 1)
  }

  @Test func `what is not said is the last day or week`() throws {
    #expect(try query(nil, nil).days.map(\.description) == ["2026-07-09", "2026-07-10"])
    #expect(try query(nil, nil).first.hour == 6)
    #expect(try query(nil, nil, .day).days.count == 7)
    #expect(try query("2026-07-01", "2026-07-02").last.hour == 23)
  }

  @Test func `what is no time, or too long a one, is refused`() {
    for text in ["yesterday", "2026-07-10T", "2026-07-10T24", "2026-07-10T1", "2026-02-30", ""] {
      #expect(throws: AccountingQuery.Defect.time(text)) { try query(text, nil) }
    }
    #expect(throws: AccountingQuery.Defect.length) { try query("2026-07-11", nil) }
    #expect(throws: AccountingQuery.Defect.length) { try query("2026-04-01", nil) }
    #expect(throws: Never.self) { try query("2026-04-11", nil) }
    #expect(throws: AccountingQuery.Defect.length) { try query("2024-07-01", nil, .day) }
  }
}
