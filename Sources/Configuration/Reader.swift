// From the tree of directives to the model, by the table of settings.
//
// Blocks are read from the outside in. Each setting puts its value into the draft, where the blocks that
// are open have their place; a block that ends is taken from there into the model. What needs the whole
// file (references, what nobody uses) is checked at the end.
//
// No cascades: what was misspelled counts as given where a missing one would be reported; names that
// were probably meant to be declared are not reported as unknown; and where a brace has no partner,
// nothing is said to be missing or misplaced.

internal import Rules

/// What is being put together: the node, and the block of each kind that is open.
struct Draft {
  var node = NodeConfiguration()
  var store = StoreConfiguration(path: "")
  var origin = OriginConfiguration(name: "")
  var limit = LimitConfiguration(
    name: "", rule: .tokenBucket(LimitRate(count: 1, period: 1_000_000_000), burst: 1))
  var route = RouteConfiguration(path: .prefix("/"), origin: "", name: "")
  var tokens = TokenConfiguration(name: "")
  var service = AuthenticationServiceConfiguration(name: "")
  var trace = TraceConfiguration(collector: "")
  var fleet = FleetConfiguration(name: "")
  var admin = AdminConfiguration(address: Reader.usualAdmin, token: nil)
  /// What the node's access log, and that of the open block, has been told.
  var nodeLog = AccessLogOptions()
  var log = AccessLogOptions()
  /// The same of the open site; nil: nothing.
  var siteLog: AccessLogOptions?
  /// What sites have been told, by their places.
  var siteLogs: [(site: Int, options: AccessLogOptions)] = []
  var siteServerTiming = false
  /// Of the open route; nil: the site's.
  var routeServerTiming: Bool?
  var siteOrigin: Placed<String>?
  var sitePurges = false
  var health = HealthConfiguration(path: nil)
  var ejection = EjectionConfiguration()
  var breaker = BreakerConfiguration()
  var files = FilesConfiguration(root: "")
  var originTLS = OriginTLSConfiguration()
  var signing = OriginSigningDraft()
  /// Routes that say nothing of caching: site and route.
  var plainRoutes: [(site: Int, route: Int)] = []
  var siteAuthentication = AuthenticationChoice.off
  /// Of the open route; nil: the site's.
  var routeAuthentication: AuthenticationChoice?
  var siteAccess = AccessConfiguration()
  var siteTransport: StrictTransport?
  var siteRedirect: UInt16?
  var siteVerification: Placed<ClientCertificates>?
  var siteAuthorities: Placed<String>?
  var siteErrorPages: [ErrorPageConfiguration] = []
  var openRoutes: [OpenRoute] = []
  /// The rules of the open site, and of the open route.
  var siteRules: [RuleStatement] = []
  var routeRules: [RuleStatement] = []
}

/// What a block has had so far.
struct Seen {
  /// Settings, and where each stood first.
  var settings: [String: SourceRange] = [:]
  /// Of which only one may be: what they name, and the setting that was first.
  var groups: [String: Placed<String>] = [:]

  /// Whether a setting was given, rightly or wrongly.
  func has(_ name: String) -> Bool { settings[name] != nil }
}

/// Reads a tree of directives.
struct Reader {
  /// What relative paths start from.
  let directory: String
  /// Whether the tree has all of the file.
  let isComplete: Bool
  var findings: Findings
  var draft = Draft()

  /// Names that something declared, and where.
  var declared = Declarations()
  /// Names that something refers to.
  var used = References()
  /// Certificates, and where TLS stands.
  var declaredTLS = DeclaredTLS()
  /// What is wrong with rules; said once, however many routes have them.
  var ruleFindings = RuleFindings()
  /// What rules ask for.
  var ruleNeeds = RuleNeeds()
  /// The files that rules name.
  let ruleFiles: RuleFiles
  /// Settings that stand in a wrong block, so that they need not be missed in theirs.
  private(set) var misplaced: Set<String> = []

  /// Where each name was declared.
  struct Declarations {
    var listeners: [ListenAddress: SourceRange] = [:]
    var origins: [String: SourceRange] = [:]
    var limits: [String: SourceRange] = [:]
    var tokens: [String: SourceRange] = [:]
    var services: [String: SourceRange] = [:]
    var hosts: [String: SourceRange] = [:]
    var routes: [RoutePath: SourceRange] = [:]
    var servers: [ServerAddress: SourceRange] = [:]
    /// The open pool's first server with `https://`, and its first without.
    var secureServer: SourceRange?
    var plainServer: SourceRange?
    var routeLimits: [String: SourceRange] = [:]
    /// Limits that count connections.
    var connectionLimits: Set<String> = []
    /// Where limits say that a region shares them.
    var regionalLimits: [SourceRange] = []
    /// Where `proxy_protocol` stands.
    var proxyListeners: [SourceRange] = []
    /// First arguments of settings that are not known.
    var perhaps: Set<String> = []
  }

  /// Every use of a name.
  struct References {
    var origins: [Placed<String>] = []
    var limits: [Placed<String>] = []
    /// Where each route, by its name, names its limits.
    var routeLimits: [String: [String: SourceRange]] = [:]
    /// What requests of routes cost, by the names of limits.
    var limitCosts: [(limit: String, cost: Placed<UInt64>)] = []
    var tokens: [Placed<String>] = []
    var services: [Placed<String>] = []
  }

  init(directory: String, isComplete: Bool, findings: Findings) {
    self.directory = directory
    self.isComplete = isComplete
    self.findings = findings
    ruleFiles = RuleFiles(resolve: { Self.resolve($0, from: directory) }) { name in
      FileContents.read(
        Self.resolve(name, from: directory), most: SourceText.largest * 4, onlyRegular: true
      ).map(\.bytes).mapError { RuleFileProblem(message: $0.described) }
    }
  }

  /// Reads a whole file.
  mutating func readFile(_ tree: SyntaxTree) {
    _ = read(.top, tree.directives, of: nil)
    findings.add(ruleFindings, of: 0)
    checkReferences()
    decideCachingOfFiles()
    decideAccessLogs()
    checkTLS()
  }

  /// Reads what stands in a block; `owner` is the setting whose braces they are.
  mutating func read(
    _ block: Setting.Block, _ directives: [Directive], of owner: Directive?, given: Seen = Seen()
  ) -> Seen {
    var seen = given
    for directive in directives { read(directive, in: block, &seen) }
    if isComplete && owner?.isWhole != false { reportMissing(block, of: owner, seen) }
    return seen
  }

  private mutating func read(
    _ directive: Directive, in block: Setting.Block, _ seen: inout Seen
  ) {
    if let rule = directive.rule {
      readRule(rule, directive, in: block)
      return
    }
    let name = directive.name
    if name.isQuoted {
      findings.error(
        "\(quoted(name.text)) stands where a setting's name was expected", at: name.range,
        help: "names have no quotes")
      return
    }
    if Setting.isSecret(name.text) { findings.hide(directive.arguments.map(\.range)) }
    guard let setting = Setting.find(name.text, in: block) else {
      readUnknown(directive, in: block, &seen)
      return
    }
    guard isFirst(setting, directive, &seen), checkBody(of: setting, directive) else { return }
    read(directive, as: setting)
  }

  private mutating func read(_ directive: Directive, as setting: Setting) {
    var directive = directive
    if setting.isSecret && !takeSecrets(of: &directive) { return }
    var arguments = Arguments(directive, names: setting.argumentNames)
    setting.read(&arguments, &self)
    arguments.finish(&findings)
  }

  /// Whether a setting may stand here after those that were seen.
  private mutating func isFirst(
    _ setting: Setting, _ directive: Directive, _ seen: inout Seen
  ) -> Bool {
    let range = directive.name.range
    if let first = seen.settings[setting.name], !setting.isRepeatable {
      findings.error(
        "\"\(setting.name)\" is given twice", at: range,
        related: Finding.Note(message: "the first is here", range: first))
      return false
    }
    if let group = setting.presence.group {
      if let first = seen.groups[group] {
        findings.error(
          "\"\(setting.name)\" cannot stand beside \"\(first.value)\"", at: range,
          help: "give one \(group)",
          related: Finding.Note(message: "which is here", range: first.range))
        return false
      }
      seen.groups[group] = Placed(value: setting.name, range: range)
    }
    seen.settings[setting.name] = seen.settings[setting.name] ?? range
    return true
  }

  private mutating func checkBody(of setting: Setting, _ directive: Directive) -> Bool {
    switch setting.body {
    case .none:
      guard let brace = directive.brace else { return true }
      findings.error(
        "\"\(setting.name)\" has no block", at: brace, help: "end it with \";\"")
    case .block:
      if directive.block != nil { return true }
      if directive.isWhole {
        findings.error(
          "\"\(setting.name)\" needs a block", at: directive.range.end, help: "expected \"{\"")
      }
    case .optional, .rules:
      return true
    }
    return false
  }
}

// What is not there, or not known.
extension Reader {
  private mutating func reportMissing(
    _ block: Setting.Block, of owner: Directive?, _ seen: Seen
  ) {
    var reported: Set<String> = []
    for setting in Setting.all where setting.block == block && !seen.has(setting.name) {
      if misplaced.contains(setting.name) { continue }
      let what: String
      switch setting.presence {
      case .required: what = "\"\(setting.name)\""
      case .one(of: let group):
        let others = Setting.all.filter { $0.block == block && $0.presence == setting.presence }
        if others.contains(where: { seen.has($0.name) }) { continue }
        what = group
      case .optional, .atMostOne: continue
      }
      guard reported.insert(what).inserted else { continue }
      let help = "add \(setting.example ?? setting.name)"
      if let owner {
        findings.error(
          "\(owner.described) has no \(what)", at: owner.range, help: help)
      } else {
        findings.general(.error, "there is no \(what) in the top level", help: help)
      }
    }
  }

  /// Reports a setting that a block does not have. If it has braces, and it can be guessed what was
  /// meant, what stands in them is read as that.
  private mutating func readUnknown(
    _ directive: Directive, in block: Setting.Block, _ seen: inout Seen
  ) {
    let name = reportUnknown(directive, in: block)
    guard let name, let meant = Setting.find(name, in: block) else { return }
    if let group = meant.presence.group, seen.groups[group] == nil {
      seen.groups[group] = Placed(value: name, range: directive.name.range)
    }
    seen.settings[name] = seen.settings[name] ?? directive.name.range
    if directive.block != nil && meant.opens != nil { read(directive, as: meant) }
  }

  /// Reports a setting that a block does not have; the one of the block that was probably meant.
  private mutating func reportUnknown(
    _ directive: Directive, in block: Setting.Block
  ) -> String? {
    let name = directive.name.text
    if let first = directive.arguments.first { declared.perhaps.insert(first.text) }
    if directive.name.isBroken { return nil }
    if findings.isFull {
      findings.error("unknown setting", at: directive.name.range)
      return nil
    }
    let elsewhere = Setting.all.filter { $0.name == name }
    let meant = Setting.suggestion(for: name, in: block, isElsewhere: !elsewhere.isEmpty)
    if meant == nil && !elsewhere.isEmpty {
      reportMisplaced(directive, in: block, elsewhere)
    } else {
      findings.error(
        "unknown setting \(quoted(name)) in \(block.described)", at: directive.name.range,
        help: meant == nil ? Setting.place(of: name) : nil, suggestion: meant)
    }
    return meant
  }

  private mutating func reportMisplaced(
    _ directive: Directive, in block: Setting.Block, _ elsewhere: [Setting]
  ) {
    misplaced.insert(directive.name.text)
    guard isComplete else { return }
    let places = elsewhere.map(\.block.described).joined(separator: " or ")
    findings.error(
      "\"\(directive.name.text)\" cannot stand in \(block.described)", at: directive.name.range,
      help: "it stands in \(places)")
  }
}

extension Setting.Presence {
  /// What those of which only one may be have in common.
  fileprivate var group: String? {
    switch self {
    case .optional, .required: nil
    case .one(of: let group), .atMostOne(of: let group): group
    }
  }
}

extension Setting {
  /// The setting of a block that was meant by a name which it does not have; a name that stands
  /// elsewhere is not a misspelling, but may be another program's name for something.
  fileprivate static func suggestion(
    for name: String, in block: Block, isElsewhere: Bool
  ) -> String? {
    let here = all.filter { $0.block == block }
    if let meant = here.first(where: { $0.aliases.contains(name) }) { return meant.name }
    return isElsewhere ? nil : Spelling.nearest(to: name, among: here.map(\.name))
  }

  /// Where the setting stands that was meant by a name which no block has.
  fileprivate static func place(of name: String) -> String? {
    if let other = all.first(where: { $0.aliases.contains(name) }) {
      return "it is \"\(other.name)\" in \(other.block.described)"
    }
    guard let near = Spelling.nearest(to: name, among: all.map(\.name)),
      let other = all.first(where: { $0.name == near })
    else { return nil }
    return "\"\(near)\" stands in \(other.block.described)"
  }
}

extension Directive {
  /// As a message names it: with its first argument, if it has one.
  var described: String {
    guard let first = arguments.first else { return "\"\(name.text)\"" }
    return "\(name.text) \(quoted(first.text))"
  }
}
