// The settings for when an origin cannot answer: pages in place of the node's own lines of text. Rules for
// that (`degrade`) are with the others.

extension Setting {
  static func errorPage(in block: Block) -> Setting {
    Setting(
      "error_page", in: block, shape: "STATUS… FILE|text TEXT", range: "4xx, 5xx, or 400 to 599",
      repeatable: true, aliases: ["handle_errors", "errorfile", "vcl_synth"],
      """
      A page for errors that the node itself answers, such as 502, 503 and 504 where no server could: a \
      file that is read when the configuration is, or a text. `{request_id}` in it is what the request is \
      called in the log and in `X-Request-Id`; `{status}` is the status. Those of a route count before \
      those of its site.
      """
    ) { arguments, reader in reader.readErrorPage(&arguments, isOfRoute: block == .route) }
  }
}

// MARK: - Reading them

extension Reader {
  /// The largest page.
  private static let largestPage = 256 << 10

  /// `error_page STATUS… FILE;`, `error_page STATUS… text TEXT;`
  mutating func readErrorPage(_ arguments: inout Arguments, isOfRoute: Bool) {
    var statuses: [ClosedRange<UInt16>] = []
    repeat {
      guard let status = arguments.next(.errorStatus, &findings) else { return }
      statuses.append(status.value)
    } while arguments.upcoming.map { $0.text.first?.isWholeNumber == true && !$0.isQuoted } ?? false
    guard let page = readPage(&arguments) else { return }
    let configuration = ErrorPageConfiguration(
      statuses: statuses, content: page.content, fileExtension: page.fileExtension)
    if isOfRoute {
      draft.route.errorPages.append(configuration)
    } else {
      draft.siteErrorPages.append(configuration)
    }
  }

  private mutating func readPage(
    _ arguments: inout Arguments
  ) -> (content: [UInt8], fileExtension: String?)? {
    if let word = arguments.upcoming, word.text == "text", !word.isQuoted {
      arguments.skip()
      guard let text = arguments.next(.pageText, &findings) else { return nil }
      return (Array(text.value.utf8), nil)
    }
    guard let path = arguments.next(.path("FILE", of: "a file"), &findings) else { return nil }
    switch FileContents.read(resolve(path.value), most: Self.largestPage, onlyRegular: true) {
    case .success(let contents):
      let name = path.value.split(separator: "/").last ?? ""
      let suffix = name.split(separator: ".").dropFirst().last.map { $0.lowercased() }
      return (contents.bytes, suffix ?? "html")
    case .failure(let problem):
      findings.error(
        "error_page: \(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
      return nil
    }
  }
}

extension Syntax where Value == ClosedRange<UInt16> {
  /// A status of an error, or a class of them.
  fileprivate static var errorStatus: Syntax {
    Syntax(
      "STATUS", expected: "a status such as 503, or 5xx",
      read: { text throws(Problem) in
        switch text {
        case "4xx": return 400...499
        case "5xx": return 500...599
        default:
          guard text.utf8.count == 3, let status = UInt16(text), (400...599).contains(status) else {
            throw Problem("\(quoted(text)) is not the status of an error")
          }
          return status...status
        }
      }, write: { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound / 100)xx" })
  }
}

extension Syntax where Value == String {
  /// What a page says.
  fileprivate static var pageText: Syntax {
    Syntax(
      "TEXT", expected: "a text",
      read: { text throws(Problem) in
        guard (1...65_536).contains(text.utf8.count) else {
          throw Problem("it has 1 byte to 64 KiB", help: "put it into a file")
        }
        return text
      }, write: { $0 })
  }
}
