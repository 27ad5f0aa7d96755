// The settings of `auth_service NAME { … }`, and how they are read.

extension Setting {
  private static let second: Int64 = 1_000_000_000

  /// What stands at the top level.
  static let authenticationServiceBlock = Setting(
    "auth_service", in: .top, shape: "NAME", body: .block(.authenticationService),
    repeatable: true,
    aliases: ["forward_auth", "forwardauth", "auth_request", "ext_authz", "external_auth"],
    """
    Who is asked whether a request may pass, for `auth service NAME` in sites and routes \
    (docs/authentication.md).
    """
  ) { arguments, reader in reader.readAuthenticationService(&arguments) }

  static let authenticationService: [Setting] = [
    Setting(
      "origin", in: .authenticationService, .name, presence: .required, example: "origin NAME;",
      aliases: ["address", "upstream", "backend"],
      "The pool whose servers are asked, with its timeouts, retries and breaker."
    ) { name, reader in
      reader.used.origins.append(name)
      reader.draft.service.origin = name.value
    },
    Setting(
      "path", in: .authenticationService, .routePath, to: \.service.path, aliases: ["uri", "url"],
      "What is asked for there. What the client asks for is in `X-Forwarded-Uri` and its like."),
    Setting(
      "send", in: .authenticationService, shape: "FIELD…", default: "all",
      aliases: ["auth_request_headers", "authRequestHeaders", "request_headers"],
      """
      The fields of the client's request that are sent along; of all, those about content, conditions \
      and ranges are not.
      """
    ) { arguments, reader in
      reader.draft.service.sentFields = reader.readFields(&arguments).map(\.value)
    },
    Setting(
      "copy", in: .authenticationService, shape: "FIELD…",
      aliases: ["copy_headers", "authResponseHeaders", "auth_request_set"],
      """
      Fields of the answer that go into the request, in place of what the client has sent under these \
      names; rules know them as `jwt.claim.FIELD`.
      """
    ) { arguments, reader in
      let fields = reader.readFields(&arguments)
      reader.checkCopies(fields)
      reader.draft.service.requestFields = fields.map(\.value)
    },
    Setting(
      "copy_response", in: .authenticationService, shape: "FIELD…",
      aliases: ["addAuthCookiesToResponse"],
      "Fields of the answer that go to the client with the response, such as `Set-Cookie`."
    ) { arguments, reader in
      let fields = reader.readFields(&arguments)
      reader.checkCopies(fields)
      reader.draft.service.responseFields = fields.map(\.value)
    },
    Setting(
      "subject", in: .authenticationService, .fieldName, default: "nobody's",
      aliases: ["user", "user_header"],
      "The field of the answer that says who asks: `jwt.sub` in rules and limits."
    ) { name, reader in reader.draft.service.subjectField = name.value.lowercased() },
    Setting(
      "timeout", in: .authenticationService, .duration(1_000_000...(600 * second)),
      to: \.service.timeout,
      "How long a request waits for the answer; then it is refused with 503."),
    Setting(
      "remember", in: .authenticationService, .duration(0...(24 * 3_600 * second)),
      to: \.service.lifetime, aliases: ["cache", "cache_ttl", "ttl"],
      """
      How long an answer that let a request pass does so for others with the same `key`, at most: the \
      answer's own `Cache-Control` may say less.
      """),
    Setting(
      "key", in: .authenticationService, shape: "PART…", aliases: ["cache_key"],
      """
      What the answer depends on, and is kept for: `header.NAME`, `cookie.NAME`, `client.ip`, `host`, \
      `path`, `target` (with the query), `method`. For a request that has none of the named fields and \
      cookies nothing is kept.
      """
    ) { arguments, reader in reader.readServiceKey(&arguments) },
    Setting(
      "max_answers", in: .authenticationService, .count(1...1_000_000, of: "answers"),
      to: \.service.maxAnswers, "The most answers that each worker keeps."),
  ]
}

extension Reader {
  /// `auth_service NAME { … }`
  mutating func readAuthenticationService(_ arguments: inout Arguments) {
    draft.service = AuthenticationServiceConfiguration(name: "")
    let name = arguments.next(.name, &findings)
    let errors = findings.errorCount
    let seen = read(.authenticationService, arguments.body, of: arguments.directive)
    if findings.errorCount == errors, arguments.directive.isWhole {
      if draft.service.lifetime > 0, draft.service.key.isEmpty,
        let range = seen.settings["remember"]
      {
        findings.error(
          "remember: nothing says what the answer is kept for", at: range,
          help: "add key with all that the service decides by, such as key cookie.session host;")
      }
      if draft.service.lifetime == 0, let range = seen.settings["key"] {
        findings.warning(
          "key: no answer is kept", at: range, help: "add remember DURATION, or remove it")
      }
    }
    guard let name, declare(name, "auth_service", in: \.services) else { return }
    draft.service.name = name.value
    draft.node.authenticationServices.append(draft.service)
  }

  /// One name of a field or more, in lower case.
  mutating func readFields(_ arguments: inout Arguments) -> [Placed<String>] {
    var fields: [Placed<String>] = []
    repeat {
      guard let field = arguments.next(.fieldName, &findings) else { continue }
      fields.append(Placed(value: field.value.lowercased(), range: field.range))
    } while arguments.upcoming != nil
    return fields
  }

  /// Reports fields that are the node's own, or belong to one connection.
  mutating func checkCopies(_ fields: [Placed<String>]) {
    let own: Set<String> = [
      "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
      "proxy-connection", "expect", "http2-settings", "host", "date", "age", "cache-status",
    ]
    for field in fields where own.contains(field.value) {
      findings.error(
        "\(quoted(field.value)) frames a message, or is the node's own", at: field.range,
        help: "remove it")
    }
  }

  /// `key PART…;`
  mutating func readServiceKey(_ arguments: inout Arguments) {
    var parts: [ServiceKeyPart] = []
    repeat {
      let range = arguments.upcoming?.range
      guard let part = arguments.next(.serviceKeyPart, &findings) else { continue }
      if parts.contains(part.value), let range {
        findings.error("key: \(quoted(part.value.text)) is given twice", at: range)
      } else {
        parts.append(part.value)
      }
    } while arguments.upcoming != nil
    draft.service.key = parts
  }

  /// `auth service NAME [shared]`
  mutating func readServiceUse(_ arguments: inout Arguments) -> AuthenticationChoice {
    guard let name = arguments.next(.name, &findings) else { return .wrong }
    used.services.append(name)
    return choice(.service(name: name.value), &arguments)
  }
}

extension Syntax where Value == ServiceKeyPart {
  /// A part of what a service's answer is kept for.
  static var serviceKeyPart: Syntax {
    let known = ["header.NAME", "cookie.NAME", "client.ip", "host", "path", "target", "method"]
    return Syntax(
      "PART", expected: known.dropLast().joined(separator: ", ") + " or method",
      read: { text throws(Problem) in
        switch text {
        case "path": return .path
        case "target": return .target
        case "method": return .method
        default: break
        }
        switch try? Syntax<LimitKeyPart>.limitKeyPart.read(text) {
        case .clientAddress: return .clientAddress
        case .host: return .host
        case .field(let name): return .field(name)
        case .cookie(let name): return .cookie(name)
        default: break
        }
        throw Problem(
          "\(quoted(text)) is not a part of a request",
          help: "there are \(known.joined(separator: ", "))")
      }, write: { $0.text })
  }
}
