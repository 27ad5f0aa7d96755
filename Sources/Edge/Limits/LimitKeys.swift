// Whose budget a request is taken from: a hash of parts of it, and, for the operator's list of the
// heaviest, the same parts in words.

package import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTPMessage
internal import RateLimiting

extension Exchange {
  /// The client's address as a limit counts it.
  @inline(__always)
  private func prefix(_ traits: LimitTraits) -> IPAddress {
    IPAddress(high: client.high, low: client.low)
      .prefix(ipv4: traits.ipv4Prefix, ipv6: traits.ipv6Prefix)
  }

  /// What stands for the route in keys.
  private var routeKey: UInt64 { generation.routes.routes[route].key }

  /// Whether the client is exempt from a limit.
  func isExempt(from limit: Int, _ worker: Worker) -> Bool {
    generation.limitTable.traits[limit].hasExemptions
      && generation.limitTable.details[limit].exempt.contains(
        IPAddress(high: client.high, low: client.low))
  }

  /// The key of a limit; nil if the request lacks a part of every alternative.
  func limitKey(_ limit: Int, _ worker: Worker) -> Hash128? {
    let traits = generation.limitTable.traits[limit]
    if traits.isByAddress {
      let address = prefix(traits)
      // On one connection it is mostly the same client, and so the same hash.
      if address.high == hashedAddress.high && address.low == hashedAddress.low && hasAddressHash {
        return addressHash
      }
      addressHash = Self.key(of: address, worker.limitHash)
      hashedAddress = Hash128(low: address.low, high: address.high)
      hasAddressHash = true
      return addressHash
    }
    let hash = traits.isRegional ? regionalHash(limit) : worker.limitHash
    for steps in generation.limitTable.details[limit].keys {
      var key = LimitKey(hash)
      if traits.isPerRoute { key.add(.route, high: 0, low: routeKey) }
      var isWhole = true
      for step in steps where isWhole { isWhole = add(step, to: &key, traits, worker) }
      if isWhole { return key.hash }
    }
    return nil
  }

  /// What all PoPs of the region hash a limit's keys with.
  @inline(never)
  private func regionalHash(_ limit: Int) -> SipHash {
    if case .regional(let limiter) = generation.limits.limits[limit].rule { return limiter.hash }
    return SipHash(key: Hash128(low: 0, high: 0))
  }

  /// The key of a limit that counts by address alone.
  static func key(of address: IPAddress, _ hash: SipHash) -> Hash128 {
    var key = LimitKey(hash)
    key.add(.address, high: address.high, low: address.low)
    return key.hash
  }

  private func add(
    _ step: LimitDetails.KeyStep, to key: inout LimitKey, _ traits: LimitTraits, _ worker: Worker
  ) -> Bool {
    if case .address = step {
      let address = prefix(traits)
      key.add(.address, high: address.high, low: address.low)
      return true
    }
    if case .route = step {
      key.add(.route, high: 0, low: routeKey)
      return true
    }
    worker.nameBuffer.removeAll()
    guard appendValue(of: step, traits, worker) else { return false }
    let value = worker.nameBuffer.view
    switch step {
    case .field(let name): add(.field, name, value, to: &key)
    case .cookie(let name): add(.cookie, name, value, to: &key)
    case .clientCertificate: key.add(.certificate, value)
    case .fingerprint: key.add(.fingerprint, value)
    case .claim(let name): add(.claim, name, value, to: &key)
    case .subject, .apiKey: ruled.identity.add(name: value, to: &key)
    case .address, .route, .host: key.add(.host, value)
    }
    return true
  }

  /// Adds a value and what it is the value of: the same value of another field is another's.
  private func add(
    _ part: RateLimiting.LimitKeyPart, _ name: [UInt8], _ value: ByteView, to key: inout LimitKey
  ) {
    name.withView { key.add(part, $0) }
    key.add(part, value)
  }

  /// Appends a part's value to the worker's buffer of names; false if the request has none.
  private func appendValue(
    of step: LimitDetails.KeyStep, _ traits: LimitTraits, _ worker: Worker
  ) -> Bool {
    let head = head(worker)
    switch step {
    case .address: prefix(traits).append(to: &worker.nameBuffer)
    case .route: worker.nameBuffer.append(text: generation.routes.names[route])
    case .host: RequestTarget.appendHost(head.bytes[head.authority], to: &worker.nameBuffer)
    case .field(let name):
      if name.withView({ appendField($0, head, worker) }) { return true }
      // What the gate has checked and taken out still says whose budget it is.
      guard isTakenOut(name, worker) else { return false }
      return name.withView { appendField($0, clientHead(worker), worker) }
    case .clientCertificate:
      guard let facts = secure?.facts, !facts.clientSubject.isEmpty else { return false }
      worker.nameBuffer.append(facts.clientSubject.view)
    case .fingerprint:
      guard let secure, !secure.fingerprint.isEmpty else { return false }
      secure.fingerprint.withView { worker.nameBuffer.append($0) }
    case .cookie(let name): return name.withView { appendCookie($0, head, worker) }
    case .subject: return ruled.identity.appendName(to: &worker.nameBuffer)
    case .claim(let name):
      return name.withView { ruled.identity.appendClaim($0, to: &worker.nameBuffer) }
    case .apiKey:
      guard case .key = ruled.identity else { return false }
      return ruled.identity.appendName(to: &worker.nameBuffer)
    }
    return true
  }

  /// All lines of a field: whom an origin takes the request for may stand in any of them.
  func appendField(_ name: ByteView, _ head: RequestHead, _ worker: Worker) -> Bool {
    var isThere = false
    for index in 0..<head.fields.count
    where head.fields[index].name(in: head.bytes).equalsIgnoringCase(name) {
      if isThere { worker.nameBuffer.append(ASCII.comma) }
      isThere = true
      worker.nameBuffer.append(head.fields[index].value(in: head.bytes))
    }
    return isThere
  }

  /// All values of a cookie: of several of one name an origin may believe any.
  func appendCookie(_ name: ByteView, _ head: RequestHead, _ worker: Worker) -> Bool {
    var isThere = false
    var next = head.fields.first(.cookie)
    while let index = next {
      let line = head.fields[index].value(in: head.bytes)
      var start = 0
      while start < line.count {
        let end = line.firstIndex(of: ASCII.semicolon, from: start) ?? line.count
        let pair = line[start..<end].trimmingWhitespace
        start = end + 1
        guard let equals = pair.firstIndex(of: ASCII.equals), pair[0..<equals] == name else {
          continue
        }
        if isThere { worker.nameBuffer.append(ASCII.semicolon) }
        isThere = true
        worker.nameBuffer.append(pair.dropping(first: equals + 1))
      }
      next = head.fields.next(.cookie, after: index)
    }
    return isThere
  }

  // MARK: The heaviest

  /// Notes whom the checks were for, one request of `Limit.sampling`.
  func noteKeys(_ checks: borrowing LimitChecks, _ worker: Worker) {
    worker.limitSample &+= 1
    guard worker.limitSample % Limit.sampling == 0 else { return }
    for index in 0..<checks.count {
      let number = Int(checks[index].limit)
      appendName(of: number, worker)
      let isRefused: Bool
      switch checks[index].verdict {
      case .none, .allowed, .waits: isRefused = false
      case .refused, .penalised, .shadowed: isRefused = true
      }
      generation.limits.limits[number].note(
        key: checks[index].key, name: worker.nameBuffer.view, cost: max(checks[index].cost, 1),
        isRefused: isRefused, now: worker.now.monotonic)
    }
  }

  /// Writes what a limit's key is into the worker's buffer of names: its parts, by spaces.
  private func appendName(of limit: Int, _ worker: Worker) {
    let traits = generation.limitTable.traits[limit]
    for steps in generation.limitTable.details[limit].keys {
      worker.nameBuffer.removeAll()
      var isWhole = true
      for (index, step) in steps.enumerated() where isWhole {
        if index > 0 { worker.nameBuffer.append(ASCII.space) }
        isWhole = appendValue(of: step, traits, worker)
      }
      if isWhole {
        if traits.isPerRoute {
          worker.nameBuffer.append(ASCII.space)
          worker.nameBuffer.append(text: generation.routes.names[route])
        }
        return
      }
    }
  }
}

extension NodeLimits {
  /// The keys that an operator may mean by a text: a hash as the list of the heaviest has it, or the
  /// value of a key of one part, in each route if these have copies.
  package func keys(of number: Int, meaning text: String) -> [Hash128] {
    if let hash = Self.hash(ofText: text) { return [hash] }
    let limit = configurations[number]
    var keys: [Hash128] = []
    for parts in limit.keys {
      guard parts.count == 1, let part = parts.first else { continue }
      for route in limit.isPerRoute ? routes.map({ $0 }) : [nil] {
        var key = LimitKey(hash(of: number))
        if let route { key.add(.route, high: 0, low: RouteTable.key(of: route)) }
        if case .subject = part { keys += Self.keys(ofName: text, in: key, issuers: issuers) }
        switch part {
        case .clientAddress:
          guard let address = text.withView({ IPAddress($0) }) else { continue }
          let prefix = address.prefix(ipv4: limit.ipv4Prefix, ipv6: limit.ipv6Prefix)
          key.add(.address, high: prefix.high, low: prefix.low)
        case .route:
          guard routes.contains(text) else { continue }
          key.add(.route, high: 0, low: RouteTable.key(of: text))
        case .field(let name):
          name.withView { key.add(.field, $0) }
          text.withView { key.add(.field, $0) }
        case .cookie(let name):
          name.withView { key.add(.cookie, $0) }
          text.withView { key.add(.cookie, $0) }
        case .host: text.withView { key.add(.host, $0) }
        case .subject: continue
        case .claim(let name):
          name.withView { key.add(.claim, $0) }
          text.withView { key.add(.claim, $0) }
        case .apiKey: text.withView { key.add(.apiKey, $0) }
        case .clientCertificate: text.withView { key.add(.certificate, $0) }
        case .fingerprint: text.withView { key.add(.fingerprint, $0) }
        }
        keys.append(key.hash)
      }
    }
    return keys
  }

  /// The keys of whoever goes by a name: of a token from any issuer of the configuration, or from none, an
  /// API key, a user.
  private static func keys(
    ofName name: String, in start: LimitKey, issuers: [String]
  ) -> [Hash128] {
    name.withView { name in
      var keys: [Hash128] = []
      for part in [RateLimiting.LimitKeyPart.apiKey, .user] {
        var key = start
        key.add(part, name)
        keys.append(key.hash)
      }
      for issuer in [""] + issuers {
        var key = start
        issuer.withView { key.add(.issuer, $0) }
        key.add(.claim, name)
        keys.append(key.hash)
      }
      return keys
    }
  }

  /// A key's hash as 32 hexadecimal digits.
  package static func text(of key: Hash128) -> String {
    let words = [key.high, key.low].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
    return words.joined()
  }

  private static func hash(ofText text: String) -> Hash128? {
    guard text.utf8.count == 32, text.utf8.allSatisfy({ ASCII.hexValue($0) != nil }),
      let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    return Hash128(low: low, high: high)
  }
}
