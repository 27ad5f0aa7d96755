// What `POST /v1/purge` takes: an object that says what is to go in exactly one way, and how.
//
//     {"tags": ["a", "b"]}   {"tag": "a"}   {"urls": ["http://…"]}   {"url": "…"}   {"hosts": ["…"]}
//     {"host": "…"}   {"url": "…", "variant": "…"}   {"prefix": "//host/path"}   {"host": "…", "prefix": "/path"}
//     {"wildcard": "//host/*.png"}   {"where": "age > 1h"}   {"everything": true}
//
// and beside it any of `"site": "…"`, `"soft": true`, `"dry_run": true`; in a fleet `"wait": "local"`, `"region"`
// or `"all"`, and `"timeout_ms": 5000`.

internal import Bytes
internal import Edge
internal import Fleet

/// An order to purge as it came.
struct PurgeRequest: Equatable {
  /// What is to go.
  let selection: PurgeSelection
  /// The site that it is kept to, if it names one.
  let site: String?
  /// Whether what it reaches is stale instead of gone.
  let isSoft: Bool
  /// Whether it only counts.
  let isDryRun: Bool
  /// Whom the answer waits for.
  var wait = PurgeWait()

  /// Reads an order. A member that is not known is refused, not passed over: it may be one of a later
  /// version that narrows the purge.
  static func read(_ content: [UInt8]) throws(Problem) -> PurgeRequest {
    guard case .object(let members) = try json(content) else {
      throw Problem(.invalidPurge, "The content must be an object, such as {\"tags\": [\"a\"]}.")
    }
    var reader = Reader()
    for member in members { try reader.take(member) }
    return PurgeRequest(
      selection: try reader.selection(), site: reader.site, isSoft: reader.isSoft,
      isDryRun: reader.isDryRun, wait: reader.wait)
  }

  static func json(_ content: [UInt8]) throws(Problem) -> JSON {
    do throws(JSONDefect) {
      return try JSONReader.read(content)
    } catch {
      throw Problem(
        .invalidJSON,
        "The content is not JSON: line \(error.line), column \(error.column): \(error.text).")
    }
  }
}

extension PurgeRequest {
  /// The members that were read.
  private struct Reader {
    var ways: [String: PurgeSelection] = [:]
    var variant: String?
    var site: String?
    var isSoft = false
    var isDryRun = false
    var wait = PurgeWait()

    static let names = [
      "tags", "tag", "urls", "url", "hosts", "host", "prefix", "wildcard", "where", "everything",
    ]

    mutating func take(_ member: JSON.Member) throws(Problem) {
      let name = member.name
      switch name {
      case "tags", "tag": ways[name] = .tags(try tags(member))
      case "urls", "url": ways[name] = .urls(try strings(member, "URL", of: 1...65_000))
      case "hosts", "host": ways[name] = .hosts(try strings(member, "host", of: 1...300))
      case "prefix": ways[name] = .prefix(try string(member, of: 1...65_000))
      case "wildcard": ways[name] = .wildcard(try string(member, of: 1...65_000))
      case "where": ways[name] = .condition(try string(member, of: 1...ObjectExpression.limit))
      case "everything":
        guard try bool(member) else {
          throw Problem(.invalidPurge, "\"everything\" is true or not there.")
        }
        ways[name] = .everything
      case "variant":
        let text = try string(member, of: 1...64)
        guard VariantName.isName(text) else {
          throw Problem(
            .invalidPurge, "\"variant\" is that of an object as GET /v1/objects shows it.")
        }
        variant = text
      case "site": site = try string(member, of: 1...300)
      case "soft": isSoft = try bool(member)
      case "dry_run": isDryRun = try bool(member)
      case "wait":
        guard let scope = FleetScope(rawValue: try string(member, of: 1...16)) else {
          throw Problem(.invalidPurge, "\"wait\" is \"local\", \"region\" or \"all\".")
        }
        wait.scope = scope
      case "timeout_ms":
        guard case .number(let text) = member.value, let time = Int64(text),
          PurgeWait.timeouts.contains(time)
        else { throw Problem(.invalidPurge, "\"timeout_ms\" is a whole number from 1 to 60000.") }
        wait.timeout = time
      default:
        throw Problem(
          .invalidPurge,
          "There is no \(JSONText.string(name).text): what goes is one of \(Self.list), and beside it "
            + "may stand \"variant\", \"site\", \"soft\", \"dry_run\", \"wait\" and \"timeout_ms\"."
        )
      }
    }

    private static var list: String { names.map { "\"\($0)\"" }.joined(separator: ", ") }

    func selection() throws(Problem) -> PurgeSelection {
      if let selection = try pair() { return selection }
      guard ways.count == 1, let way = ways.first else {
        throw Problem(
          .invalidPurge, "What is to be purged is said in exactly one way, of \(Self.list).")
      }
      if let variant {
        guard way.key == "url", case .urls(let urls) = way.value, let url = urls.first else {
          throw Problem(.invalidPurge, "\"variant\" stands beside \"url\".")
        }
        return .variant(url: url, name: variant)
      }
      return way.value
    }

    /// A host and what its paths begin with.
    private func pair() throws(Problem) -> PurgeSelection? {
      guard ways.count == 2, case .hosts(let hosts)? = ways["host"], let host = hosts.first,
        case .prefix(let prefix)? = ways["prefix"], variant == nil
      else { return nil }
      guard prefix.hasPrefix("/"), !prefix.hasPrefix("//") else {
        throw Problem(.invalidPurge, "Beside \"host\", a \"prefix\" is a path such as /images/.")
      }
      return .prefix("//\(host)\(prefix)")
    }

    // MARK: Values

    private func bool(_ member: JSON.Member) throws(Problem) -> Bool {
      guard case .bool(let value) = member.value else {
        throw Problem(.invalidPurge, "\"\(member.name)\" is true or false.")
      }
      return value
    }

    private func string(
      _ member: JSON.Member, of length: ClosedRange<Int>
    ) throws(Problem) -> String {
      guard case .string(let text) = member.value else {
        throw Problem(.invalidPurge, "\"\(member.name)\" is not a string.")
      }
      guard length.contains(text.utf8.count) else {
        throw Problem(
          .invalidPurge,
          "\"\(member.name)\" must have \(length.lowerBound) to \(length.upperBound) bytes; it has "
            + "\(text.utf8.count).")
      }
      return text
    }

    private func tags(_ member: JSON.Member) throws(Problem) -> [String] {
      let tags = try strings(member, "tag", of: 1...PurgeTargets.longestTag)
      for (index, tag) in tags.enumerated() {
        guard tag.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == ASCII.tab }) else {
          throw Problem(
            .invalidPurge, "Tag \(index + 1) has a control character, which no field can carry.")
        }
      }
      return tags
    }

    /// The strings of a member, each once: of `tag` that one, of `tags` those of the array.
    private func strings(
      _ member: JSON.Member, _ singular: String, of length: ClosedRange<Int>
    ) throws(Problem) -> [String] {
      let noun = singular.prefix(1).uppercased() + singular.dropFirst()
      var values = [member.value]
      if member.name.hasSuffix("s") {
        guard case .array(let elements) = member.value else {
          throw Problem(.invalidPurge, "\"\(member.name)\" must be an array of strings.")
        }
        guard (1...PurgeTargets.mostNames).contains(elements.count) else {
          throw Problem(
            .invalidPurge,
            "\"\(member.name)\" must have 1 to \(PurgeTargets.mostNames) elements; it has "
              + "\(elements.count).")
        }
        values = elements
      }
      var strings: [String] = []
      // By bytes: equal strings may differ in them, and then are two tags.
      var seen: Set<[UInt8]> = []
      for (index, value) in values.enumerated() {
        guard case .string(let text) = value else {
          throw Problem(.invalidPurge, "\(noun) \(index + 1) is not a string.")
        }
        guard length.contains(text.utf8.count) else {
          throw Problem(
            .invalidPurge,
            "\(noun) \(index + 1) must have \(length.lowerBound) to \(length.upperBound) bytes; it "
              + "has \(text.utf8.count).")
        }
        if seen.insert(Array(text.utf8)).inserted { strings.append(text) }
      }
      return strings
    }
  }
}

extension PurgeRequest {
  /// What is to be purged, as one word.
  var kind: String {
    switch selection {
    case .tags: "tags"
    case .urls, .variant: "urls"
    case .hosts: "hosts"
    case .prefix: "prefix"
    case .wildcard: "wildcard"
    case .condition: "where"
    case .everything: "everything"
    }
  }

  /// The order again, as JSON.
  var text: JSONText {
    func list(_ texts: [String]) -> JSONText { .array(texts.map { .string($0) }) }
    var members: [(name: String, value: JSONText)] = []
    switch selection {
    case .tags(let tags): members.append(("tags", list(tags)))
    case .urls(let urls): members.append(("urls", list(urls)))
    case .variant(let url, let name):
      members += [("url", .string(url)), ("variant", .string(name))]
    case .hosts(let hosts): members.append(("hosts", list(hosts)))
    case .prefix(let prefix): members.append(("prefix", .string(prefix)))
    case .wildcard(let wildcard): members.append(("wildcard", .string(wildcard)))
    case .condition(let condition): members.append(("where", .string(condition)))
    case .everything: members.append(("everything", .bool(true)))
    }
    if let site { members.append(("site", .string(site))) }
    if isSoft { members.append(("soft", .bool(true))) }
    return .object(members)
  }
}
