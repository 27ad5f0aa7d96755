// A setting of the language, as an entry of one table (`Setting.all`).
//
// From the table come the parser (what may stand where, with which arguments), `weir settings` and the
// tables of docs/configuration.md. Adding a setting is an entry of the table, which says also where in
// the model its value goes; the types of both must be the same. What a default is, the model alone
// says: the table asks it.

/// A setting: its name, where it stands, what it takes and what it means.
public struct Setting: Sendable {
  /// A place where settings stand: the top level, or between the braces of a setting.
  public enum Block: String, Sendable, CaseIterable {
    /// Outside of all braces.
    case top
    /// `admin ADDRESS { … }`
    case admin
    /// `store DIR { … }`
    case store
    /// `client { … }`
    case client
    /// `origin NAME { … }`
    case origin
    /// `tls { … }` in an origin
    case originTLS = "origin tls"
    /// `sign aws4 { … }` in an origin
    case originSigning = "origin sign"
    /// `files DIR { … }`
    case files
    /// `limit NAME { … }`
    case limit
    /// `tls { … }`
    case tls
    /// `http2 { … }`
    case http2
    /// `jwt NAME { … }`
    case jwt
    /// `auth_service NAME { … }`
    case authenticationService = "auth_service"
    /// `trace { … }`
    case trace
    /// `fleet NAME { … }`
    case fleet
    /// `access_log TARGET { … }`
    case accessLog = "access_log"
    /// `site HOST… { … }`
    case site
    /// `route PATH { … }`
    case route
    /// `cache { … }`
    case cache
  }

  /// Whether a block must have it.
  public enum Presence: Sendable, Equatable {
    /// It may be left out.
    case optional
    /// Each block of the kind has at least one.
    case required
    /// Each block of the kind has exactly one of those that name the same thing.
    case one(of: String)
    /// Each block of the kind has at most one of those that name the same thing.
    case atMostOne(of: String)
  }

  /// What follows the arguments.
  public enum Body: Sendable, Equatable {
    /// `;`
    case none
    /// A block of settings.
    case block(Block)
    /// A block, or `;` for an empty one.
    case optional(Block)
    /// What the rules language says (docs/rules.md): a block of rules.
    case rules
  }

  /// As it is written.
  public let name: String
  /// Where it stands.
  public let block: Block
  /// Its arguments as the reference shows them, such as `DURATION`; empty for none.
  public let shape: String
  /// What follows its arguments.
  public let body: Body
  /// The values it may have, such as `1ms to 1h`; nil if there are no bounds.
  public let range: String?
  /// The value where it is left out; nil if there is none.
  public let defaultText: String?
  /// What a number counts; nil if it is none.
  public let unit: String?
  /// Whether it may stand more than once in a block.
  public let isRepeatable: Bool
  /// Whether a block must have it.
  public let presence: Presence
  /// What it does, in a sentence or two.
  public let text: String
  /// How it could be written, where one has to be added.
  public let example: String?
  /// What other programs call it; only for suggestions.
  public let aliases: [String]
  /// Whether its arguments must not be shown.
  let isSecret: Bool
  /// The names of its `name=value` arguments.
  let argumentNames: [String]
  /// Reads it and puts it into the model.
  let read: @Sendable (inout Arguments, inout Reader) -> Void
}

extension Setting.Block {
  /// As a message says it, after "in".
  var described: String { self == .top ? "the top level" : "\"\(rawValue)\"" }
}

extension Setting {
  /// A setting that reads its arguments itself.
  init(
    _ name: String, in block: Block, shape: String, body: Body = .none, range: String? = nil,
    default defaultText: String? = nil, unit: String? = nil, repeatable: Bool = false,
    presence: Presence = .optional, example: String? = nil, aliases: [String] = [],
    argumentNames: [String] = [], secret: Bool = false, _ text: String,
    read: @escaping @Sendable (inout Arguments, inout Reader) -> Void
  ) {
    self.name = name
    self.block = block
    self.shape = shape
    self.body = body
    self.range = range
    self.defaultText = defaultText
    self.unit = unit
    self.isRepeatable = repeatable
    self.presence = presence
    self.text = text
    self.example = example
    self.aliases = aliases
    self.argumentNames = argumentNames
    self.isSecret = secret
    self.read = read
  }

  /// A setting of one argument, which `put` takes to where it belongs.
  init<Value>(
    _ name: String, in block: Block, _ syntax: Syntax<Value>, default defaultText: String? = nil,
    repeatable: Bool = false, presence: Presence = .optional, example: String? = nil,
    aliases: [String] = [], secret: Bool = false, _ text: String,
    put: @escaping @Sendable (Placed<Value>, inout Reader) -> Void
  ) {
    self.init(
      name, in: block, shape: syntax.shape, range: syntax.range, default: defaultText,
      unit: syntax.unit, repeatable: repeatable, presence: presence, example: example,
      aliases: aliases, secret: secret, text
    ) { arguments, reader in
      guard let value = arguments.next(syntax, &reader.findings) else { return }
      put(value, &reader)
    }
  }

  /// A setting of one argument that goes to `path`, where its default stands already.
  init<Value>(
    _ name: String, in block: Block, _ syntax: Syntax<Value>,
    to path: any WritableKeyPath<Draft, Value> & Sendable, aliases: [String] = [], _ text: String
  ) {
    self.init(
      name, in: block, syntax, default: syntax.write(Draft()[keyPath: path]), aliases: aliases,
      text
    ) { value, reader in
      reader.draft[keyPath: path] = value.value
    }
  }

  /// The same for what may be nothing, which is written `none` or, if that is no word, not at all.
  init<Value>(
    _ name: String, in block: Block, _ syntax: Syntax<Value>, none: String, isWord: Bool = false,
    to path: any WritableKeyPath<Draft, Value?> & Sendable, aliases: [String] = [], _ text: String
  ) {
    self.init(
      name, in: block, syntax.optional(none: none, word: isWord ? none : nil), to: path,
      aliases: aliases, text)
  }
}

extension Setting {
  /// The settings of each block by name.
  private static let byName: [Block: [String: Setting]] = {
    var result: [Block: [String: Setting]] = [:]
    for setting in all { result[setting.block, default: [:]][setting.name] = setting }
    return result
  }()

  /// The names of all settings.
  private static let names = Set(all.map(\.name))

  /// The setting of that name in a block.
  static func find(_ name: String, in block: Block) -> Setting? { byName[block]?[name] }

  /// Whether the arguments of settings of that name must not be shown.
  static func isSecret(_ name: String) -> Bool { secrets.contains(name) }

  private static let secrets = Set(all.filter(\.isSecret).map(\.name))

  /// Whether any block has a setting of that name.
  static func isName(_ name: String) -> Bool { names.contains(name) }
}
