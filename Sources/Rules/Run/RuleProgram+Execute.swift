// The evaluator: one loop over the instructions. Jumps lead forward only (checked when the program was
// made), so a run has at most as many steps as the program has instructions; each step is linear in the
// texts that it looks at.
//
// `steps` is inlined into its two callers: with no recorder its checks vanish.

internal import Bytes
internal import GeoDatabase
internal import HTTPMessage
internal import RegularExpressions

extension RuleProgram {
  @inline(never)
  func execute(
    from start: Int, _ input: borrowing RuleInput, _ scratch: RuleScratch
  ) -> RuleOutcome {
    steps(from: start, input, scratch, nil)
  }

  @inline(never)
  func record(
    from start: Int, _ input: borrowing RuleInput, _ scratch: RuleScratch, _ recorder: RuleRecorder
  ) -> RuleOutcome {
    steps(from: start, input, scratch, recorder)
  }

  @inline(__always)
  private func steps(
    from start: Int, _ input: borrowing RuleInput, _ scratch: RuleScratch, _ recorder: RuleRecorder?
  ) -> RuleOutcome {
    // Safe throughout: `RuleCode.isSound` has checked every operand, and registers are 256 for 8 bits.
    let registers = unsafe scratch.registers
    var place = start
    while true {
      let step = unsafe instructions[place]
      if let recorder { recorder.note(place, scratch) }
      place &+= 1
      let to = Int(step.to)
      let left = Int(step.left)
      let right = Int(step.right)
      let operand = Int(step.operand)
      switch step.opcode {
      case .end: return .proceed
      case .loadText: unsafe registers[to] = RuleValue(texts[operand])
      case .loadInteger: unsafe registers[to] = RuleValue(integers[operand])
      case .loadAddress: unsafe registers[to] = RuleValue(addresses[operand])
      case .text: unsafe registers[to] = text(step.operand, input, scratch)
      case .number: unsafe registers[to] = RuleValue(number(step.operand, input, scratch))
      case .flag:
        let isSet =
          step.operand == FlagSource.isStored.rawValue ? input.isStored : input.isAuthenticated
        unsafe registers[to] = RuleValue(isSet)
      case .clientAddress:
        unsafe registers[to] = RuleValue(low: input.clientLow, high: input.clientHigh)
      case .field:
        guard let value = unsafe fieldValue(fields[operand], input.head, scratch) else {
          return .failed(.tooLarge)
        }
        unsafe registers[to] = value
      case .responseField:
        guard let value = unsafe responseFieldValue(fields[operand], input, scratch) else {
          return .failed(.tooLarge)
        }
        unsafe registers[to] = value
      case .cookie, .parameter:
        let bit: UInt64 = step.extra == 0 ? 0 : 1 &<< UInt64(Int(step.extra) &- Registers.kept)
        if scratch.filled & bit != 0 {
          unsafe registers[to] = registers[Int(step.extra)]
          continue
        }
        let isCookie = if case .cookie = step.opcode { true } else { false }
        let name = unsafe texts[operand]
        guard
          let value = isCookie
            ? cookie(name, input.head) : parameter(name, scratch.query ?? ByteView(), scratch)
        else { return .failed(.tooLarge) }
        unsafe registers[to] = value
        if bit != 0 {
          unsafe registers[Int(step.extra)] = value
          scratch.filled |= bit
        }
      case .claim:
        unsafe registers[to] = RuleValue(RuleClaims.value(of: texts[operand], in: input.claims))
      case .move: unsafe registers[to] = registers[left]
      case .equalTexts:
        unsafe registers[to] = RuleValue(registers[left].text == registers[right].text)
      case .equalConstant:
        unsafe registers[to] = RuleValue(registers[left].text == texts[operand])
      case .equalNumbers:
        unsafe registers[to] = RuleValue(registers[left].low == registers[right].low)
      case .equalAddresses:
        unsafe registers[to] = RuleValue(registers[left].address == registers[right].address)
      case .less:
        unsafe registers[to] = RuleValue(registers[left].integer < registers[right].integer)
      case .lessOrEqual:
        unsafe registers[to] = RuleValue(registers[left].integer <= registers[right].integer)
      case .inTexts:
        unsafe registers[to] = RuleValue(isMember(registers[left].text, textSets[operand]))
      case .inNumbers:
        let set = code.numberSets[operand]
        unsafe registers[to] = RuleValue(set.contains(registers[left].integer))
      case .inNetworks:
        let address = unsafe registers[left].address
        let isIn = unsafe addressSets[operand]._withUnsafeGuaranteedRef { $0.contains(address) }
        unsafe registers[to] = RuleValue(isIn)
      case .inParts:
        unsafe registers[to] = RuleValue(
          RuleText.hasPart(registers[left].text, of: registers[right].text, texts[operand]))
      case .matchesGlob:
        unsafe registers[to] = RuleValue(Glob.matches(registers[left].text, texts[operand]))
      case .matchesPattern, .capture:
        let text = unsafe registers[left].text
        let found = unsafe patterns[operand]._withUnsafeGuaranteedRef { pattern in
          scratch.matcher.match(pattern, text)
        }
        guard found != .exhausted else { return .failed(.patternExhausted) }
        if case .capture = step.opcode {
          let group = found == .found ? scratch.matcher.group(Int(step.extra), of: text) : nil
          unsafe registers[to] = RuleValue(group)
        } else {
          unsafe registers[to] = RuleValue(found == .found)
        }
      case .not: unsafe registers[to] = RuleValue(!registers[left].isTrue)
      case .exists: unsafe registers[to] = RuleValue(registers[left].isThere)
      case .startsWith:
        unsafe registers[to] = RuleValue(registers[left].text.starts(with: registers[right].text))
      case .endsWith:
        unsafe registers[to] = RuleValue(
          RuleText.ends(registers[left].text, with: registers[right].text))
      case .contains:
        unsafe registers[to] = RuleValue(
          RuleText.find(registers[right].text, in: registers[left].text, from: 0) >= 0)
      case .length: unsafe registers[to] = RuleValue(Int64(registers[left].text.count))
      case .part:
        unsafe registers[to] = RuleValue(
          RuleText.part(Int(step.extra), of: registers[left].text, texts[operand]))
      case .partCount:
        unsafe registers[to] = RuleValue(
          Int64(RuleText.partCount(of: registers[left].text, texts[operand])))
      case .trim: unsafe registers[to] = RuleValue(registers[left].text.trimmingWhitespace)
      case .lower, .upper, .replace, .replacePrefix, .urlDecode, .urlEncode, .base64Decode,
        .integerToText, .addressToText, .booleanToText:
        guard let value = make(step, scratch) else { return .failed(.tooLarge) }
        unsafe registers[to] = value
      case .negotiate:
        unsafe registers[to] = RuleValue(
          negotiate(registers[left].text, textSets[operand], texts[Int(step.extra)]))
      case .hash, .percent:
        let hash = unsafe hashes[operand].hash(registers[left].text).low
        if case .hash = step.opcode {
          let bucket = hash.multipliedFullWidth(by: UInt64(UInt32(bitPattern: step.extra))).high
          unsafe registers[to] = RuleValue(Int64(bucket))
        } else {
          let share = hash.multipliedFullWidth(by: 100).high
          unsafe registers[to] = RuleValue(share < UInt64(UInt32(bitPattern: step.extra)))
        }
      case .toInteger:
        unsafe registers[to] = RuleValue(
          RuleText.integer(registers[left].text) ?? registers[right].integer)
      case .toAddress:
        unsafe registers[to] = RuleValue(IPAddress.parse(registers[left].text) ?? .none)
      case .mask:
        unsafe registers[to] = RuleValue(
          registers[left].address.masked(version4: operand, version6: Int(step.extra)))
      case .seconds:
        let value = unsafe max(0, registers[left].integer)
        let (time, isLarge) = value.multipliedReportingOverflow(by: 1_000_000_000)
        unsafe registers[to] = RuleValue(isLarge ? Int64.max : time)
      case .lookup:
        unsafe registers[to] = RuleValue(value(of: registers[left].text, inMap: operand))
      case .hasTag:
        let tags = input.object?.hasTag ?? []
        unsafe registers[to] = RuleValue(operand < tags.count && tags[operand])
      case .beginText: scratch.textStart = scratch.used
      case .appendConstant:
        guard unsafe scratch.append(texts[operand]) else { return .failed(.tooLarge) }
      case .appendText:
        guard unsafe scratch.append(registers[left].text) else { return .failed(.tooLarge) }
      case .endText: unsafe registers[to] = RuleValue(scratch.made(since: scratch.textStart))
      case .jump: place = operand
      case .jumpUnless: if unsafe !registers[left].isTrue { place = operand }
      case .jumpIf: if unsafe registers[left].isTrue { place = operand }
      case .respond:
        scratch.status = UInt16(truncatingIfNeeded: step.operand)
        if step.extra == 1 { scratch.body = unsafe registers[left].text }
        return .respond
      case .redirect:
        guard let target = unsafe scratch.encoded(registers[left].text, .location) else {
          return .failed(.tooLarge)
        }
        scratch.status = UInt16(truncatingIfNeeded: step.operand)
        scratch.location = target
        return .redirect
      case .rewritePath, .rewriteQuery, .answerField, .setField, .unsetField, .addField, .origin,
        .limit, .limitWithCost, .cacheBypass, .cacheTTL, .cacheKey, .varyBy, .tag, .log:
        if let failure = act(step, scratch, place &- 1, input) { return .failed(failure) }
      }
    }
  }
}

// Data.
extension RuleProgram {
  private func text(
    _ source: Int32, _ input: borrowing RuleInput, _ scratch: RuleScratch
  ) -> RuleValue {
    switch TextSource(rawValue: source) {
    case .path: return RuleValue(scratch.path)
    case .query: return RuleValue(scratch.query)
    case .host: return RuleValue(input.host)
    case .scheme: return RuleValue(input.isSecure ? ByteView("https") : ByteView("http"))
    case .method:
      let head = input.head
      if case .other = head.method { return RuleValue(head.bytes[head.methodRange]) }
      return RuleValue(ByteView(head.method.name))
    case .tlsVersion: return RuleValue(input.tls.version)
    case .tlsServerName: return RuleValue(input.tls.serverName)
    case .tlsCipher: return RuleValue(input.tls.cipher)
    case .tlsProtocol: return RuleValue(input.tls.applicationProtocol)
    case .tlsFingerprint: return RuleValue(input.tls.fingerprint)
    case .tlsClientSubject: return RuleValue(input.tls.clientSubject)
    case .tlsClientFingerprint: return RuleValue(input.tls.clientFingerprint)
    case .subject: return RuleValue(input.subject)
    case .country: return RuleValue(scratch.located(input)?.country(scratch.place))
    case .continent: return RuleValue(scratch.located(input)?.continent(scratch.place))
    case .region: return RuleValue(scratch.located(input)?.region(scratch.place))
    case .city: return RuleValue(scratch.located(input)?.city(scratch.place))
    case .url: return RuleValue(input.object?.url)
    case .contentType: return RuleValue(input.object?.contentType)
    case .variant: return RuleValue(input.object?.variant)
    case .lineMethod: return RuleValue(input.object?.method)
    case .lineProtocol: return RuleValue(input.object?.protocolName)
    case .cacheResult: return RuleValue(input.object?.cacheResult)
    case .detail: return RuleValue(input.object?.detail)
    case .route: return RuleValue(input.object?.route)
    case .referer: return RuleValue(input.object?.referer)
    case .userAgent: return RuleValue(input.object?.userAgent)
    case nil: return .nothing
    }
  }

  private func number(
    _ source: Int32, _ input: borrowing RuleInput, _ scratch: RuleScratch
  ) -> Int64 {
    switch NumberSource(rawValue: source) {
    case .contentLength:
      switch input.head.framing {
      case .none: return 0
      case .length(let length): return Int64(clamping: length)
      case .chunked, .untilClose: return -1
      }
    case .clientPort: return Int64(input.clientPort)
    case .listenerPort: return Int64(input.listenerPort)
    case .now: return input.now
    case .status: return Int64(input.status)
    case .network: return scratch.located(input)?.network(scratch.place) ?? 0
    case .size: return input.object?.size ?? 0
    case .age: return input.object?.age ?? 0
    case .duration: return input.object?.duration ?? 0
    case .originDuration: return input.object?.originDuration ?? 0
    case .received: return input.object?.received ?? 0
    case nil: return 0
    }
  }

  /// The value of a field; nil if there is no room to join its lines.
  func fieldValue(
    _ field: FieldName, _ head: RequestHead, _ scratch: RuleScratch
  ) -> RuleValue? {
    if field.overlay >= 0, scratch.hasOverlays {
      let overlay = unsafe scratch.overlays[field.overlay]
      switch overlay.state {
      case .asSent: break
      case .replaced: return overlay.value
      case .removed: return .nothing
      }
    }
    if case .other = field.known { return otherField(field.name, head, scratch) }
    guard let first = head.fields.first(field.known) else { return .nothing }
    guard head.fields.isRepeated(field.known) else {
      return RuleValue(head.fields[first].value(in: head.bytes))
    }
    let isCookie = if case .cookie = field.known { true } else { false }
    let start = scratch.used
    var next: Int? = first
    while let index = next {
      if index != first, !scratch.append(isCookie ? ByteView("; ") : ByteView(", ")) { return nil }
      guard scratch.append(head.fields[index].value(in: head.bytes)) else { return nil }
      next = head.fields.next(field.known, after: index)
    }
    return RuleValue(scratch.made(since: start))
  }

  private func otherField(
    _ name: ByteView, _ head: RequestHead, _ scratch: RuleScratch
  ) -> RuleValue? {
    var found: ByteView?
    var isJoined = false
    let start = scratch.used
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      guard Int(line.nameLength) == name.count, line.name(in: head.bytes).equalsIgnoringCase(name)
      else { continue }
      let value = line.value(in: head.bytes)
      if let first = found {
        if !isJoined, !scratch.append(first) { return nil }
        isJoined = true
        guard scratch.append(ByteView(", ")), scratch.append(value) else { return nil }
      } else {
        found = value
      }
    }
    return isJoined ? RuleValue(scratch.made(since: start)) : RuleValue(found)
  }

  /// The value of a field of the response, from its lines.
  func responseFieldValue(
    _ field: FieldName, _ input: borrowing RuleInput, _ scratch: RuleScratch
  ) -> RuleValue? {
    if field.overlay >= 0, scratch.hasOverlays {
      let overlay = unsafe scratch.overlays[field.overlay]
      switch overlay.state {
      case .asSent: break
      case .replaced: return overlay.value
      case .removed: return .nothing
      }
    }
    let lines = input.responseFields
    var found: ByteView?
    var isJoined = false
    let start = scratch.used
    var offset = 0
    while offset < lines.count {
      let end = lines.firstIndex(of: ASCII.lf, from: offset) ?? lines.count
      let line = lines[offset..<end]
      offset = end + 1
      guard line.count > field.name.count, line[field.name.count] == ASCII.colon,
        line.prefix(field.name.count).equalsIgnoringCase(field.name)
      else { continue }
      var value = line.dropping(first: field.name.count + 1)
      if value.count > 0, value[value.count - 1] == ASCII.cr {
        value = value.prefix(value.count - 1)
      }
      value = value.trimmingWhitespace
      if let first = found {
        if !isJoined, !scratch.append(first) { return nil }
        isJoined = true
        guard scratch.append(ByteView(", ")), scratch.append(value) else { return nil }
      } else {
        found = value
      }
    }
    return isJoined ? RuleValue(scratch.made(since: start)) : RuleValue(found)
  }

  /// The value of a cookie (RFC 6265 §4.2.1), over all lines.
  private func cookie(_ name: ByteView, _ head: RequestHead) -> RuleValue? {
    var next = head.fields.first(.cookie)
    while let index = next {
      if let value = RuleText.cookie(name, in: head.fields[index].value(in: head.bytes)) {
        return RuleValue(value)
      }
      next = head.fields.next(.cookie, after: index)
    }
    return .nothing
  }

  /// The value of a parameter, decoded; nil if there is no room for it.
  private func parameter(
    _ name: ByteView, _ query: ByteView, _ scratch: RuleScratch
  ) -> RuleValue? {
    guard let raw = RuleText.parameter(name, in: query) else { return .nothing }
    guard RuleText.isEncoded(raw) else { return RuleValue(raw) }
    let start = scratch.used
    guard scratch.appendDecoded(raw, plusIsSpace: true) else { return nil }
    return RuleValue(scratch.made(since: start))
  }

  private func isMember(_ text: ByteView, _ set: Range<Int>) -> Bool {
    var low = set.lowerBound
    var high = set.upperBound
    while low < high {
      let middle = (low &+ high) / 2
      let order = unsafe RuleText.order(text, members[middle])
      if order == 0 { return true }
      if order < 0 { high = middle } else { low = middle &+ 1 }
    }
    return false
  }

  private func negotiate(_ accepted: ByteView, _ set: Range<Int>, _ plain: ByteView) -> ByteView {
    let first = set.lowerBound
    let found = LanguageLookup.find(accepted, tags: set.count) { unsafe members[first + $0] }
    return found.map { unsafe members[first + $0] } ?? plain
  }
}
