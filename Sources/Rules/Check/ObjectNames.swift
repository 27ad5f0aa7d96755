// What is known of a stored object, as a second table of names: with it the language serves as one of
// conditions over what is stored, which purges go by. Only what stays as it is while an object is stored
// is in it, and its age, which is that at the time of the purge.

/// What an expression is about.
enum Vocabulary: Sendable {
  /// A request and its response.
  case request
  /// A stored object.
  case storedObject
  /// A line of the access log.
  case logLine

  /// The names that it has, but for those of requests.
  var names: [DataName] {
    switch self {
    case .request: []
    case .storedObject: DataName.ofObjects
    case .logLine: DataName.ofLines
    }
  }

  /// What it is about, in messages.
  var subject: String {
    switch self {
    case .request: "a request"
    case .storedObject: "a stored object"
    case .logLine: "a line of the access log"
    }
  }
}

extension DataName {
  /// The names of conditions over stored objects.
  package static let ofObjects: [DataName] = [
    DataName(
      "url", .text, .text(.url), aliases: ["uri", "obj.url"],
      "The URL that the client sent, scheme and host in lower case."),
    DataName(
      "host", .text, .text(.host), aliases: ["hostname", "request.host"],
      "The URL's host in lower case, without a port."),
    DataName(
      "path", .text, .text(.path), aliases: ["request.path"], "The URL's path, as it was sent."),
    DataName(
      "query", .text, .text(.query), aliases: ["args"],
      "The URL's query without its question mark, as it was sent."),
    DataName(
      "query.NAME", .text, .family(.parameter), aliases: ["arg", "param"],
      "The value of the query's first parameter of that name, decoded."),
    DataName(
      "status", .integer, .integer(.status), aliases: ["response.status", "obj.status"],
      "The status of the stored response."),
    DataName(
      "content_type", .text, .text(.contentType), aliases: ["mime", "media_type"],
      "The media type in lower case, without parameters, such as `text/html`."),
    DataName(
      "header.NAME", .text, .family(.responseField),
      aliases: ["response.header", "obj.http", "headers"],
      "A field of the stored response, in any case."),
    DataName(
      "age", .duration, .integer(.age), aliases: ["obj.age"],
      "How old it was at the time of the purge (RFC 9111 §4.2.3), to be compared with `1h` and the like."
    ),
    DataName(
      "size", .integer, .integer(.size), aliases: ["length", "content_length", "bytes"],
      "Bytes of its content."),
    DataName(
      "variant", .text, .text(.variant), aliases: ["vary"],
      "What tells it from other variants of its URL, as `GET /v1/objects` shows it."),
    DataName(
      "tags", .list, .tags, aliases: ["tag", "surrogate_key", "xkey"],
      "Its tags, only behind `in`: `\"front\" in tags`."),
  ]

  /// What a name of a vocabulary stands for; of a family also the name behind the prefix.
  static func find(
    _ name: String, in vocabulary: Vocabulary
  ) -> (entry: DataName, member: String)? {
    if case .request = vocabulary { return find(name) }
    for entry in vocabulary.names {
      guard entry.name.hasSuffix("NAME") else {
        if entry.name == name { return (entry, "") }
        continue
      }
      let prefix = entry.name.dropLast(4)
      if name.hasPrefix(prefix) && name.count > prefix.count {
        return (entry, String(name.dropFirst(prefix.count)))
      }
    }
    return nil
  }

  /// What was probably meant by a name that a vocabulary does not have.
  static func suggestion(for name: String, in vocabulary: Vocabulary) -> String? {
    if case .request = vocabulary { return suggestion(for: name) }
    let names = vocabulary.names
    if let entry = names.first(where: { $0.aliases.contains(name) }) { return entry.name }
    return Spelling.nearest(to: name, among: names.map(\.name))
  }
}
