// Requests as OpenTelemetry's collectors take them: an ExportTraceServiceRequest of the protocol OTLP
// 1.x, in Protocol Buffers, as POST to /v1/traces takes it. The numbers of fields are those of
// opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto; names of attributes are
// those of its semantic conventions for HTTP.

package import Bytes

/// Encodes traces.
package struct OTLPEncoder: Sendable {
  /// The `Content-Type` of what it makes.
  package static let contentType = "application/x-protobuf"

  private let node: String
  private let version: String

  /// An encoder for a node of that name, of that version of the product.
  package init(node: String, version: String) {
    self.node = node
    self.version = version
  }

  /// An export of requests.
  package func encode(_ records: [TraceRecord]) -> ByteBuffer {
    var export = ProtobufWriter()
    export.message(1) { resourceSpans in
      resourceSpans.message(1) { resource in
        Self.attribute("service.name", "weir", to: &resource, field: 1)
        Self.attribute("service.instance.id", node, to: &resource, field: 1)
        Self.attribute("service.version", version, to: &resource, field: 1)
      }
      resourceSpans.message(2) { scopeSpans in
        scopeSpans.message(1) { scope in
          scope.text(1, "weir")
          scope.text(2, version)
        }
        for record in records { Self.append(record, to: &scopeSpans) }
      }
    }
    return export.take()
  }

  private static func append(_ record: TraceRecord, to spans: inout ProtobufWriter) {
    spans.message(2) { span in
      identify(&span, record, record.span, parent: record.context.parent)
      span.text(5, record.route.isEmpty ? record.method : "\(record.method) \(record.route)")
      span.number(6, 2)  // SPAN_KIND_SERVER
      time(&span, record.start, record.end)
      attributes(of: record, to: &span)
      if record.status >= 500 { span.message(15) { $0.number(3, 2) } }  // STATUS_CODE_ERROR
    }
    var number: UInt64 = 0
    for phase in record.phases {
      number &+= 1
      let isOrigin = phase.phase == .firstByte && record.originSpan != 0
      spans.message(2) { span in
        // Identifiers of the phases follow from the request's.
        let own = isOrigin ? record.originSpan : max(1, record.span ^ number &<< 56)
        identify(&span, record, own, parent: record.span)
        span.text(5, phase.phase.name)
        span.number(6, isOrigin ? 3 : 1)  // SPAN_KIND_CLIENT, SPAN_KIND_INTERNAL
        time(&span, phase.start, phase.end)
      }
    }
  }

  private static func identify(
    _ span: inout ProtobufWriter, _ record: TraceRecord, _ own: UInt64, parent: UInt64
  ) {
    span.bytes(1, record.context.traceHigh, record.context.traceLow)
    span.bytes(2, own)
    span.text(3, record.state)
    if parent != 0 { span.bytes(4, parent) }
  }

  private static func time(_ span: inout ProtobufWriter, _ start: UInt64, _ end: UInt64) {
    span.fixed(7, start)
    span.fixed(8, max(start, end))
  }

  private static func attributes(of record: TraceRecord, to span: inout ProtobufWriter) {
    let texts = [
      ("http.request.method", record.method), ("server.address", record.host),
      ("url.path", record.path), ("http.route", record.route),
      ("network.protocol.version", record.version), ("weir.cache", record.cache),
      ("weir.detail", record.detail),
    ]
    for (name, value) in texts where !value.isEmpty {
      attribute(name, value, to: &span, field: 9)
    }
    attribute("http.response.status_code", UInt64(record.status), to: &span, field: 9)
    attribute("http.response.body.size", record.bytes, to: &span, field: 9)
  }

  /// A KeyValue whose AnyValue is a string.
  private static func attribute(
    _ name: String, _ value: String, to writer: inout ProtobufWriter, field: UInt64
  ) {
    writer.message(field) { pair in
      pair.text(1, name)
      pair.message(2) { $0.text(1, value) }
    }
  }

  /// A KeyValue whose AnyValue is an integer, which is written even if it is 0.
  private static func attribute(
    _ name: String, _ value: UInt64, to writer: inout ProtobufWriter, field: UInt64
  ) {
    writer.message(field) { pair in
      pair.text(1, name)
      pair.message(2) { $0.integer(3, value) }
    }
  }
}
