//! Charts, drawn by plotters. Each takes plain numbers and text and gives a PNG at twice its size on
//! the page, and an SVG; which charts exist, and what is said beside them, is the view's business.

pub mod axis;
pub mod canvas;
pub mod curves;
pub mod forest;
pub mod layout;
pub mod lettering;
pub mod parallel;
pub mod response;
pub mod scatter;
pub mod svg;
pub mod theme;

pub use canvas::{FigureError, Picture};
pub use theme::{DARK, LIGHT, Stroke, Theme};
