// Which variants of a key are stored, as far as this process has stored them lately.
//
// The store finds a variant by the request's values, and cannot list them. To validate when none fits
// (RFC 9111 §4.3.1) a fill offers the tags of those that are remembered here; a 304 then names one
// (§4.3.4), and its content need not come again. It is a hint and bounded: what is not remembered, or
// not stored any more, is not offered. Asked when a variant is missing, told when one is stored; a hit
// comes by neither.

internal import Bytes
internal import HTTPCaching
internal import ObjectStore
import Synchronization

/// What selects a variant: its rule, and the values of the fields that the rule names.
struct VariantSelector: Equatable, Sendable {
  let rule: [UInt8]
  let values: [UInt8]
}

final class KnownVariants: Sendable {
  private final class Lock: Sendable {
    let variants = Mutex<[Hash128: [VariantSelector]]>([:])
  }

  private static let stripeCount = 8
  /// Keys in a stripe; one more, and all of its keys are forgotten.
  private static let keysPerStripe = 512
  /// Bytes of a rule and its values, at most: longer ones are not remembered.
  private static let greatestLength = 1_024
  private let stripes: [Lock] = (0..<stripeCount).map { _ in Lock() }

  private func stripe(_ primary: Hash128) -> Lock {
    stripes[Int(truncatingIfNeeded: primary.low) & (Self.stripeCount - 1)]
  }

  /// Remembers that a variant of a primary key is being stored, as the newest.
  func note(_ variant: VariantSelector, of primary: Hash128) {
    guard variant.rule.count + variant.values.count <= Self.greatestLength else { return }
    stripe(primary).variants.withLock { keys in
      if keys.count >= Self.keysPerStripe && keys[primary] == nil {
        keys.removeAll(keepingCapacity: true)
      }
      var known = keys[primary] ?? []
      known.removeAll { $0 == variant }
      known.insert(variant, at: 0)
      if known.count > VariantTags.greatestCount { known.removeLast() }
      keys[primary] = known
    }
  }

  /// The variants of a primary key, newest first.
  func variants(of primary: Hash128) -> [VariantSelector] {
    stripe(primary).variants.withLock { $0[primary] ?? [] }
  }
}

/// The stored variants that a request to an origin offers, and their tags.
struct VariantOffer {
  var tags = VariantTags()
  var stored: [StoredReference] = []
}

extension Worker {
  /// What is stored for the key in `keyBuffer`, under whatever values; nil if nothing has a tag.
  func variantOffer(_ store: ObjectStore) -> VariantOffer? {
    guard let reader else { return nil }
    let key = keyBuffer.view
    let primary = store.keyHash(key)
    var offer = VariantOffer()
    for variant in context.variants.variants(of: primary) {
      let response = variant.rule.withView { rule in
        variant.values.withView { values in
          reader.peekVariant(primary: primary, key: key, rule: rule, values: values)
        }
      }
      guard let response, !response.etag.isEmpty, !response.isSliced else { continue }
      offer.tags.add(response.etag, number: offer.stored.count)
      offer.stored.append(StoredReference(response))
    }
    return offer.tags.isEmpty ? nil : offer
  }
}
