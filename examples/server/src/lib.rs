//! The application that the example servers share: HTTP, WebSocket, page.
