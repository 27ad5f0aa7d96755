package import Bytes

/// One request of recorded traffic, as far as its format tells. The views are good only while the
/// record is handed out.
package struct TrafficRecord {
  /// A field of the request that the recording has.
  package struct Field {
    /// Its name, as recorded.
    package var name: ByteView
    /// Its value.
    package var value: ByteView
  }

  /// When it came (or ended: servers log at the end), nanoseconds since the recording's own epoch; nil
  /// where the format has no time.
  package var time: Int64?
  /// The client: an address, a name or a number; empty if unknown.
  package var client = ByteView()
  /// The user that the server knew; empty if none.
  package var user = ByteView()
  /// The method, `GET` where the format has none.
  package var method = ByteView("GET")
  /// `http` or `https`; empty if unknown.
  package var scheme = ByteView()
  /// The host with its port, as the client named it; empty if unknown.
  package var host = ByteView()
  /// The path and query; begins with `/`, or is `*`. A trace's key is a path of one segment.
  package var target = ByteView()
  /// The status code of the answer; 0 if unknown.
  package var status: UInt16 = 0
  /// Bytes of the answer's content; nil if unknown.
  package var responseBytes: Int64?
  /// Bytes of the request's content; nil if unknown.
  package var requestBytes: Int64?
  /// How long the answer took, nanoseconds; nil if unknown.
  package var duration: Int64?
  /// The answer's freshness lifetime in seconds; nil if unknown.
  package var lifetime: Int64?
  /// The request's fields that are known, without `Host`.
  package var fields: [Field] = []

  /// A record that says nothing yet.
  package init() {}

  /// The value of the first field with a name, given in lower case; nil if it is not there.
  package func field(_ name: ByteView) -> ByteView? {
    fields.first { $0.name.equalsIgnoringCase(name) }?.value
  }
}

/// What a recording can be.
package enum TrafficFormat: Equatable, Sendable {
  /// Lines of JSON: Weir's access log, what `weir record` writes, or nginx's with its variables' names.
  case json
  /// A format string of nginx's or Apache's, which varnishncsa's is too.
  case log(LogFormat)
  /// An HTTP archive.
  case har
  /// W3C's extended log format, as CloudFront writes it.
  case w3c
  /// Lines of values. Without names the first line says them, or they are time, key and size.
  case columns([LogValue]?)
  /// libCacheSim's oracleGeneral.
  case oracleGeneral
  /// One URL or path a line.
  case urls
}

/// A line that could not be read.
package struct BadLine: Equatable, Sendable {
  /// Its number in the recording, from 1; of a binary trace or an archive the record's number.
  package var number: Int
  /// What is wrong.
  package var reason: String
  /// The beginning of it, with control bytes replaced.
  package var text: String

  init(number: Int, reason: Defect, bytes: ByteView) {
    self.number = number
    self.reason = reason.text
    text = String(
      bytes.prefix(120).string.unicodeScalars.map { scalar in
        scalar.properties.generalCategory == .control ? " " : Character(scalar)
      })
  }
}

/// Why a line is no request.
enum Defect: Error, Equatable {
  case noRequest
  case badMethod
  case badTarget
  case badTime
  case badNumber
  case notInFormat
  case notJSON
  case tooLong
  case tooLargeArchive
  case fewColumns
  case noColumnNames
  case cutOff
  case badCompression

  /// In a few words.
  var text: String {
    switch self {
    case .noRequest: "no request in it"
    case .badMethod: "the method is not one"
    case .badTarget: "the target is no path and no URL"
    case .badTime: "the time is not one"
    case .badNumber: "a number is not one"
    case .notInFormat: "not in the format"
    case .notJSON: "not JSON"
    case .tooLong: "longer than 1 MiB"
    case .tooLargeArchive: "the archive is larger than 1 GiB"
    case .fewColumns: "too few columns"
    case .noColumnNames: "no #Fields line before it"
    case .cutOff: "cut off"
    case .badCompression: "the compressed data is damaged from here on"
    }
  }
}
