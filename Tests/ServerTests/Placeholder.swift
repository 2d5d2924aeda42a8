import Testing

@Test func serverTestsPlaceholder() {}
