// `GET /v1/accounting`: what each route was asked and what that took, by hour or day. A day's file is read in
// each turn of the loop, so that a long answer holds nobody up.

internal import Accounting
internal import EventLoop
internal import Metrics

/// An answer that is put together day by day.
private final class AccountingAnswer {
  private let query: AccountingQuery
  private let book: AccountingBook
  private let isCSV: Bool
  private var days: ArraySlice<CivilDay>
  private var text = ""
  private var count = 0

  /// Rows of an answer: some 15 MB.
  private static let most = 100_000

  init(_ query: AccountingQuery, _ book: AccountingBook, isCSV: Bool) {
    self.query = query
    self.book = book
    self.isCSV = isCSV
    days = query.days[...]
    text =
      isCSV
      ? "start,site,route,requests,bytes_sent,bytes_stored,bytes_received,hit_ratio\r\n"
      : "{\"by\": \"\(query.step.rawValue)\", \"per\": \"\(query.subject.rawValue)\", \"rows\": ["
  }

  /// Takes in another day; the answer, after the last one.
  func step() -> AdminResponse? {
    if let day = days.popFirst() {
      for row in query.rows(of: day, book.day(day)) { add(row) }
      guard count <= Self.most else {
        return Problem(
          .invalidQuery,
          "The answer would have more than \(Self.most) rows: ask for less at a time."
        ).response
      }
      return nil
    }
    if isCSV {
      return AdminResponse(contentType: "text/csv; charset=utf-8", content: Array(text.utf8))
    }
    return AdminResponse(contentType: "application/json", content: Array((text + "]}").utf8))
  }

  private func add(_ row: AccountingQuery.Row) {
    count += 1
    let account = row.account
    // The share of bytes that came from the store.
    let ratio = JSONText.thousandths(
      account.sent == 0
        ? 0 : UInt64(Double(min(account.stored, account.sent)) * 1_000 / Double(account.sent)))
    if isCSV {
      text += "\(row.start),\(Self.cell(row.site)),\(Self.cell(row.route)),\(account.requests),"
      text += "\(account.sent),\(account.stored),\(account.received),\(ratio.text)\r\n"
      return
    }
    if count > 1 { text += ", " }
    text +=
      JSONText.object([
        ("start", .string(row.start)), ("site", .string(row.site)), ("route", .string(row.route)),
        ("requests", .number(account.requests)), ("bytes_sent", .number(account.sent)),
        ("bytes_stored", .number(account.stored)), ("bytes_received", .number(account.received)),
        ("hit_ratio", ratio),
      ]).text
  }

  /// A cell (RFC 4180). One that a spreadsheet would take for a formula is a text.
  private static func cell(_ text: String) -> String {
    let isFormula = text.first.map { "=+-@".contains($0) } ?? false
    let plain = (isFormula ? "'" : "") + text
    guard plain.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return plain }
    return "\"" + plain.replacing("\"", with: "\"\"") + "\""
  }
}

extension AdminService {
  /// `GET /v1/accounting?by=hour|day&per=route|site|node&from=…&to=…&format=json|csv`
  func beginAccounting(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    guard let accounting else {
      throw Problem(.noStore, "Accounts are kept beside the store, and the node has none.")
    }
    let query = try AdminQuery(route.query, ["by", "per", "from", "to", "format"])
    let step = try query.choice("by", AccountingQuery.Step.allCases.map(\.rawValue))
    let subject = try query.choice("per", AccountingQuery.Subject.allCases.map(\.rawValue))
    let format = try query.choice("format", ["json", "csv"])
    let wanted: AccountingQuery
    do throws(AccountingQuery.Defect) {
      wanted = try AccountingQuery(
        from: query["from"], to: query["to"],
        step: step.flatMap { AccountingQuery.Step(rawValue: $0) } ?? .day,
        subject: subject.flatMap { AccountingQuery.Subject(rawValue: $0) } ?? .route,
        now: asked.at.wall)
    } catch {
      switch error {
      case .time(let text):
        throw Problem(
          .invalidQuery,
          "\(JSONText.string(text).text) is no time: expected 2026-07-10, or 2026-07-10T08 (UTC).")
      case .length:
        throw Problem(
          .invalidQuery,
          "from must not be after to, nor more than \(AccountingBook.daysWithHours) days before it "
            + "by hour, \(AccountingBook.daysKept) by day.")
      }
    }
    accounting.refresh(now: asked.at.wall)
    let isCSV = format.map { $0 == "csv" } ?? route.accept.lowercased().contains("text/csv")
    let answer = AccountingAnswer(wanted, accounting, isCSV: isCSV)
    begin(asked.connection) { answer.step() }
    return nil
  }
}
