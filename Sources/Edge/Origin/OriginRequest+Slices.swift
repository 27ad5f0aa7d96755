// Answers to requests for a slice; see `SlicedBody`.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore

extension OriginRequest {
  /// Appends the fields that ask for the slice.
  func appendSliceFields(to wire: inout ByteBuffer) {
    guard let slice = fill.slice else { return }
    let validator = slice.body?.validator ?? []
    validator.withView {
      SlicePlan.appendFields(slice.range, validator: $0.isEmpty ? nil : $0, to: &wire)
    }
  }

  /// Takes the head of an answer to a request for a slice. False: it is to be taken as any other.
  func finalSlice(_ slice: SliceJob, content: ByteView) -> Bool {
    let plan = SlicePlan(sliceSize: slice.size, completeLength: slice.body?.length)
    let answer = check(plan, slice)
    if let body = slice.body {
      guard case .slice(let part) = answer else {
        // Of an error or a refusal nothing follows for what is stored.
        if isAboutObject(answer) {
          worker.context.store?.removeSliced(keyHash: body.keyHash, body: body.id)
        }
        end(with: .changed)
        return true
      }
      publishSlice(part, of: body, lines: [], metadata: nil)
      beginSlice(part, content)
      return true
    }
    switch answer {
    case .slice(let part):
      guard let body = storeSliced(part) else {
        end(with: .notSliceable)
        return true
      }
      beginSlice(part, content)
      _ = body
      return true
    case .whole, .other: return false
    case .unsatisfiable:
      end(with: .unsatisfiable)
      return true
    case .changed, .mismatch:
      end(with: .notSliceable)
      return true
    }
  }

  /// Whether an answer says that what is stored and what the origin has do not belong together.
  private func isAboutObject(_ answer: SliceAnswer) -> Bool {
    switch answer {
    case .changed, .whole, .unsatisfiable, .mismatch: true
    case .other: response.status == 404 || response.status == 410
    case .slice: false
    }
  }

  private func check(_ plan: SlicePlan, _ slice: SliceJob) -> SliceAnswer {
    guard let body = slice.body else {
      return plan.check(
        response, asked: slice.range, storedETag: nil, storedLastModified: nil, storedDate: nil,
        now: responseTime)
    }
    return body.entityTag.withView { tag in
      plan.check(
        response, asked: slice.range, storedETag: tag.isEmpty ? nil : tag,
        storedLastModified: body.lastModified == .min ? nil : body.lastModified,
        storedDate: body.date, now: responseTime)
    }
  }

  private func beginSlice(_ part: PartialContent, _ content: ByteView) {
    begin(framing: response.framing)
    if isForNobody { end(with: .requestAborted) } else { take(content) }
  }

  /// Stores the record of a representation of which the first slice has come; nil if it is not for the
  /// store, or not for others.
  private func storeSliced(_ part: PartialContent) -> SlicedBody? {
    guard let length = part.completeLength, let store = worker.context.store,
      let mark = fill.mark,
      length <= min(generation.shared.largestObject, policy.caching.greatestObject)
    else { return nil }
    var caching = policy.caching
    caching.storesPartial = true
    // It is a 200 that is stored.
    if let rule = caching.lifetime(for: 200) {
      caching.lifetimes.insert(
        LifetimeRule(.code(206), milliseconds: rule.milliseconds, overrides: rule.overrides), at: 0)
    }
    let directives = ResponseDirectives(response, policy: caching)
    let plan = plan(directives, policy: caching)
    guard plan.isStored, plan.isShared else { return nil }
    var lines = ByteBuffer(capacity: response.length + 128)
    PartialResponses.appendWithoutContentRange(
      storedLines(directives).view, to: &lines)
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: requestTime,
      responseTime: responseTime, policy: caching)
    let metadata = freshness.metadata(status: 200, lines: lines.view)
    let primary = fill.fullKey.withView { store.keyHash($0) }
    let hash = plan.varyRule.map { rule in
      rule.withView { rule in
        plan.varyValues.withView {
          store.variantHash(primary: primary, rule: rule, values: $0)
        }
      }
    }
    let body = SlicedBody(
      id: store.makeBodyID(), length: length, keyHash: hash ?? primary, lines: lines.view,
      metadata: metadata)
    let object = NewObject(
      keyHash: primary, key: fill.fullKey, varyRule: plan.varyRule, varyValues: plan.varyValues,
      metadata: metadata, head: lines.view.array, tags: plan.tags,
      implicitTags: Array(plan.purgeTags.dropFirst(plan.tags.count)),
      body: .slices(id: body.id, length: length), sequence: mark.sequence)
    guard store.store(object, completion: { _ in store.endFill(mark) }) else { return nil }
    if stored != nil { worker.counters.add(.revalidatedReplaced) }
    publishSlice(part, of: body, lines: lines.view.array, metadata: metadata, plan: plan)
    return body
  }

  /// Publishes the head of a slice's fill.
  private func publishSlice(
    _ part: PartialContent, of body: SlicedBody, lines: [UInt8], metadata: Metadata?,
    plan: Plan = Plan()
  ) {
    let head = FillHead(
      status: 200, lines: lines, length: body.length,
      metadata: metadata ?? Metadata(status: 200, responseTime: responseTime, lifetime: 0),
      entityTag: lines.withView { Validators.etag(of: $0) }, varyRule: plan.varyRule,
      varyValues: plan.varyValues, purgeTags: plan.purgeTags, isShared: true, isStored: true,
      isValidated: false, isServedOnError: false, forwardedStatus: response.status,
      sliced: body, contentStart: part.range.start)
    let bodyID = sink.begin(head, tags: [], implicitTags: [])
    fill.begin(head, bodyID: bodyID)
    worker.noteMoved(fill)
  }
}
