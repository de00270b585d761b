//! The head of the figure: face, hair, hat. Geometry only; colours come from `clothes`.

use super::super::canvas::{polygon, times};
use super::super::clothes::{self, Spot, paint};
use super::super::factors::{HairShape, HatKind};
use super::Figure;

impl Figure<'_> {
    pub(super) fn head(&mut self) {
        let look = self.look;
        let shape = self.structure.body.hair;
        let head = self.joints.head;
        let neck = [head[0], head[1] - 0.085, head[2] - 0.018];
        self.limb(
            0.2,
            [[head[0], head[1] - 0.04, head[2] - 0.01], neck],
            [0.03, 0.034],
            move |_| times(paint(look.skin), 0.86),
        );
        let centre = self.view.place(head);
        let scale = self.view.scale;
        let radius = [self.view.half_width(0.059, 0.066) * scale, 0.077 * scale];
        let light = self.light();
        let outline: Vec<[f32; 2]> = (0..32)
            .map(|step| {
                let (sin, cos) = (step as f32 / 32.0 * std::f32::consts::TAU).sin_cos();
                let jaw = 1.0 - 0.2 * sin.max(0.0).powi(2);
                [centre[0] + radius[0] * cos * jaw, centre[1] + radius[1] * sin]
            })
            .collect();
        let shade = move |x: f32, y: f32| {
            let (u, up) = ((x - centre[0]) / radius[0], (centre[1] - y) / radius[1]);
            let near = (1.0 - u * u - up * up).max(0.0).sqrt();
            let (side, front) = light.turn_back(u, near);
            let ink = clothes::head(look, shape, Spot { side, front, along: 0.0 }, up);
            times(ink, light.shade([u, up, near], x, y))
        };
        self.push(2.0, polygon(&outline), Box::new(shade));
        let tip = [head[0], head[1] - 0.012, head[2] + 0.07];
        let order = if self.view.depth([0.0, 0.0, 1.0]) > -0.3 { 2.1 } else { 1.9 };
        let bridge = [tip[0], tip[1] + 0.015, tip[2] - 0.014];
        self.limb(order, [bridge, tip], [0.007, 0.011], move |_| times(paint(look.skin), 0.97));
    }

    pub(super) fn hair(&mut self) {
        let colour = paint(self.look.hair);
        let head = self.joints.head;
        let at = |up: f32, front: f32| [head[0], head[1] + up, head[2] + front];
        let from_behind = self.view.depth([0.0, 0.0, -1.0]);
        let ink = move |spot: Spot| times(colour, if spot.along > 0.85 { 0.85 } else { 1.0 });
        let fall = match from_behind {
            depth if depth > 0.3 => 2.5,
            depth if depth > -0.4 => 1.6,
            // Behind the shoulders: before the chest it would be a beard.
            _ => -0.1,
        };
        match self.structure.body.hair {
            HairShape::Cropped | HairShape::Short => {}
            HairShape::Bob => {
                self.limb(fall, [at(0.012, -0.026), at(-0.052, -0.034)], [0.062, 0.064], ink);
            }
            HairShape::Long => {
                self.limb(fall, [at(0.01, -0.028), at(-0.13, -0.055)], [0.066, 0.06], ink);
            }
            HairShape::Bun => {
                let order = if from_behind > -0.2 { 2.5 } else { 1.7 };
                self.limb(order, [at(0.07, -0.05), at(0.072, -0.056)], [0.03, 0.03], ink);
            }
            HairShape::Tail => {
                let order = if from_behind > -0.2 { 2.5 } else { -0.1 };
                self.limb(order, [at(0.03, -0.07), at(-0.09, -0.1)], [0.024, 0.014], ink);
            }
        }
    }

    pub(super) fn hat(&mut self) {
        let Some(hat) = self.look.hat else { return };
        let colour = paint(hat.colour);
        let head = self.joints.head;
        let centre = self.view.place(head);
        let scale = self.view.scale;
        let (base, tall) = match hat.kind {
            HatKind::Cap => (0.36_f32, 1.1),
            HatKind::Beanie => (0.22, 1.22),
        };
        let radius = [self.view.half_width(0.064, 0.071) * scale, 0.077 * scale * tall];
        let start = base.asin();
        let outline: Vec<[f32; 2]> = (0..=20)
            .map(|step| {
                let turn = start + (std::f32::consts::PI - 2.0 * start) * step as f32 / 20.0;
                [centre[0] + radius[0] * turn.cos(), centre[1] - radius[1] * turn.sin()]
            })
            .collect();
        let light = self.light();
        let kind = hat.kind;
        let shade = move |x: f32, y: f32| {
            let (u, up) = ((x - centre[0]) / radius[0], (centre[1] - y) / radius[1]);
            let near = (1.0 - u * u - up * up).max(0.0).sqrt();
            let rim = kind == HatKind::Beanie && up < base + 0.22;
            times(colour, light.shade([u, up, near], x, y) * if rim { 0.78 } else { 1.0 })
        };
        self.push(3.0, polygon(&outline), Box::new(shade));
        let facing = self.view.depth([0.0, 0.0, 1.0]);
        if hat.kind == HatKind::Cap {
            let ends = [
                [head[0], head[1] + 0.034, head[2] + 0.045],
                [head[0], head[1] + 0.026, head[2] + 0.112],
            ];
            let order = if facing > -0.35 { 3.1 } else { 1.95 };
            let ink = move |_: Spot| times(colour, 0.8);
            self.limb(order, ends, [0.022, 0.016], ink);
        }
    }
}
